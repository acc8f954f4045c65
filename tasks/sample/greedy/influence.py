"""Choose rows by their influence on several tasks, so that no task is left behind.

Source: BIDS (arXiv 2501.12147). Influences are normalised by task; the next row is argmax_i max_j (A_ij - mean over the
chosen rows of A_sj). For a task j the best row left is the one with the largest A_ij, so the tasks' heads are all that
is compared, and the rows are those of plain greedy.
"""

from functools import partial
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from evenkeel.infra.dtypes import Float64Array, Int64Array, UInt64Array
from evenkeel.infra.hashing import uniform
from evenkeel.tasks.sample.candidates import CandidateRows, score_of
from evenkeel.tasks.sample.greedy.engine import Chosen
from evenkeel.tasks.sample.problem import SamplingProblem

SEED = 0x6269_6473


class Moments(NamedTuple):
    """Rows, and the sums of their scores and of the squares, (tasks,) float64 each, about the first row's scores."""

    rows: int
    centre: Float64Array
    sums: Float64Array
    squares: Float64Array


class Influences(NamedTuple):
    """The rows with the largest influence on each task. hashes: (n,) float64. influence: (n, tasks) float64."""

    row_ids: UInt64Array
    hashes: Float64Array
    influence: Float64Array


def choose_for_tasks(over: tuple[str, ...], problem: SamplingProblem) -> tuple[UInt64Array, dict[str, object]]:
    """Return the row ids in the order of choice, and facts: the mean influence on every task, in standard deviations.

    Raises RecipeError where a score is missing or not finite.
    """
    rows, columns = problem.rows, tuple(f"score.{name}" for name in over)
    work = rows.pool.rows * 8 * len(over)
    summed = problem.compute.reduce(partial(_sum, rows=rows, over=over), _added, rows.blocks, work=work)
    if summed is None:
        return np.empty(0, np.uint64), {}
    shift = summed.sums / max(1, summed.rows)
    spread = np.sqrt(np.maximum(summed.squares / max(1, summed.rows) - shift**2, 0.0))
    mean, deviation = summed.centre + shift, np.where(spread > 0, spread, 1.0)
    wanted = problem.target
    offer = partial(_offer, rows=rows, over=over, mean=mean, deviation=deviation, seed=problem.seed, wanted=wanted)
    found = problem.compute.reduce(offer, partial(_best, wanted=problem.target), rows.blocks, work=work)
    assert found is not None
    order = np.argsort(found.hashes, kind="stable")
    chosen = balanced_influence(found.influence[order], problem.target)
    picked = order[chosen.order]
    means = found.influence[picked].mean(axis=0) if len(picked) else np.zeros(len(over))
    facts: dict[str, object] = {
        "evaluations": chosen.evaluations,
        "candidates": len(found.row_ids),
        "influence": dict(zip(columns, means.round(6).tolist(), strict=True)),
    }
    return found.row_ids[picked], facts


def balanced_influence(influence: Float64Array, wanted: int) -> Chosen:
    """Return `wanted` rows of (n, tasks) in the order of choice; ties go to the first task, and in it the first row."""
    wanted, tasks = min(wanted, len(influence)), influence.shape[1]
    ranked = np.argsort(-influence, axis=0, kind="stable")
    heads, taken, sums = np.zeros(tasks, np.int64), np.zeros(len(influence), bool), np.zeros(tasks)
    order, gains = np.empty(wanted, np.int64), np.empty(wanted)
    every = np.arange(tasks)
    for place in range(wanted):
        for task in range(tasks):
            while taken[ranked[heads[task], task]]:
                heads[task] += 1
        best = influence[ranked[heads, every], every] - sums / max(place, 1)
        task = int(best.argmax())
        row = int(ranked[heads[task], task])
        order[place], gains[place] = row, best[task]
        taken[row] = True
        sums += influence[row]
    return Chosen(order, gains, wanted * tasks)


def _scores(table: pa.Table, over: tuple[str, ...]) -> Float64Array:
    return np.stack([score_of(table, name) for name in over], axis=1)


def _sum(block: str, rows: CandidateRows, over: tuple[str, ...]) -> Moments:
    scores = _scores(rows.table(block, [f"score.{name}" for name in over]), over)
    centre = scores[0].copy() if len(scores) else np.zeros(len(over))
    return Moments(len(scores), centre, (scores - centre).sum(axis=0), ((scores - centre) ** 2).sum(axis=0))


def _added(one: Moments, other: Moments) -> Moments:
    if not one.rows or not other.rows:
        return one if one.rows else other
    gap = other.centre - one.centre
    squares = other.squares + 2 * gap * other.sums + other.rows * gap**2
    return Moments(one.rows + other.rows, one.centre, one.sums + other.sums + other.rows * gap, one.squares + squares)


def _offer(
    block: str,
    rows: CandidateRows,
    over: tuple[str, ...],
    mean: Float64Array,
    deviation: Float64Array,
    seed: int,
    wanted: int,
) -> Influences:
    table = rows.table(block, ["identity", *(f"score.{name}" for name in over)])
    hashes = uniform(seed + SEED, table["identity"].to_numpy())
    return _first(Influences(table["row_id"].to_numpy(), hashes, (_scores(table, over) - mean) / deviation), wanted)


def _best(one: Influences, other: Influences, wanted: int) -> Influences:
    both = (np.concatenate([mine, its]) for mine, its in zip(one, other, strict=True))
    return _first(Influences(*both), wanted)


def _first(found: Influences, wanted: int) -> Influences:
    """Return the rows that are among the `wanted` largest of a task, ties by hash."""
    kept: list[Int64Array] = [
        np.lexsort((found.hashes, -found.influence[:, task]))[:wanted] for task in range(found.influence.shape[1])
    ]
    place = np.unique(np.concatenate(kept))
    return Influences(found.row_ids[place], found.hashes[place], found.influence[place])
