"""Adjust a plan so that the shares of group values stay within bounds."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from evenkeel.infra.errors import RecipeError
from evenkeel.tasks.sample.candidates import CandidateRows
from evenkeel.tasks.sample.config import GroupShare
from evenkeel.tasks.sample.draw_plan import CellsOf, DrawPlan
from evenkeel.tasks.sample.problem import SamplingProblem
from evenkeel.tasks.sample.quotas.allocation import split, water_fill
from evenkeel.tasks.sample.quotas.tree import ClusterTree
from evenkeel.tasks.sample.strata.count import Counted, Strata, find_strata, merge_counted


@dataclass(frozen=True)
class Pairs:
    """Maps a row to its pair of group value and cell. known: (pairs,) int64, sorted, value * cells + cell of each."""

    strata: Strata
    cells_of: CellsOf | None
    cells: int
    known: NDArray[np.int64]

    def __call__(self, table: pa.Table, block: str) -> NDArray[np.int64]:
        """Return the pair of every row of a table, (n,) int64."""
        key = self.strata.of(table) * self.cells + _cells(self.cells_of, table, block)
        return np.searchsorted(self.known, key).astype(np.int64)


def bound_shares(plan: DrawPlan, bounds: Sequence[GroupShare], problem: SamplingProblem) -> DrawPlan:
    """Return a plan whose group values keep the bounds, otherwise as close to the plan's proportions as they allow.

    The totals of the values are water-filled with the plan's own totals as weights; inside a value every cell keeps its
    proportion. Raises RecipeError naming the bounds that cannot be kept together.
    """
    if plan.weights_of is not None:
        raise RecipeError(
            "bounds on shares need a strategy with quotas; this one draws rows by their weights",
            where="sampling.shares",
            remedy="choose balanced, flat, uniform, ... or remove sampling.shares",
        )
    strata = find_strata(problem.rows, [bounds[0].group], problem.compute)
    known, counts = _count_pairs(plan, strata, problem)
    value, cell = known // len(plan.sizes), known % len(plan.sizes)
    wanted = plan.allocation.shares[cell] * counts / np.maximum(1, plan.sizes[cell]) + 1e-9 * counts
    totals = np.bincount(value, wanted, len(strata)).astype(np.float64)
    target = int(plan.allocation.quotas.sum())
    lower, upper = _bounds(bounds, strata, target, problem.limits.max_repeats)
    top = water_fill(upper, target, weights=totals, floors=lower, seed=problem.seed)
    tree = ClusterTree(counts, (value.astype(np.int32),))
    caps = counts * problem.limits.max_repeats
    allocation = split(tree, caps, target, weights=[wanted, totals], seed=problem.seed, top=top)
    named = {strata.coding.values(int(place))[0]: int(top.quotas[place]) for place in np.argsort(-top.quotas)[:100]}
    return replace(
        plan,
        allocation=allocation,
        sizes=counts,
        cells_of=Pairs(strata, plan.cells_of, len(plan.sizes), known),
        columns=[*plan.columns, *strata.columns],
        facts={**plan.facts, "shares": {bounds[0].group: named}},
    )


def _bounds(
    bounds: Sequence[GroupShare], strata: Strata, target: int, max_repeats: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the lower and upper bound of every value, (values,) int64; raise RecipeError for contradictions."""
    group = bounds[0].group
    lower, upper = np.zeros(len(strata.sizes), np.int64), strata.sizes * max_repeats
    numbers = {value: number for number, value in enumerate(strata.coding.dictionaries[0].to_pylist())}
    for bound in bounds:
        name = f"{group}={bound.value}"
        if bound.value not in numbers:
            raise RecipeError(
                f"no row has {name}",
                expected=f"one of {', '.join(list(numbers)[:20])}",
                where="sampling.shares",
            )
        number = numbers[bound.value]
        low = max(int(np.ceil(bound.at_least * target - 1e-9)), bound.min_rows)
        high = int(np.floor(bound.at_most * target + 1e-9))
        if low > high:
            raise _contradiction(f"{name} is to have at least {low:,} and at most {high:,} of {target:,} rows")
        if low > upper[number]:
            raise _contradiction(f"{name} is to have at least {low:,} rows, but the pool can give {upper[number]:,}")
        lower[number], upper[number] = low, min(high, upper[number])
    if lower.sum() > target:
        raise _contradiction(f"the minimum rows of {group} sum to {lower.sum():,}, more than the target of {target:,}")
    if upper.sum() < target:
        raise _contradiction(f"the maximum rows of {group} sum to {upper.sum():,}, less than the target of {target:,}")
    return lower, upper


def _contradiction(message: str) -> RecipeError:
    return RecipeError(
        f"contradictory group constraints: {message}", where="sampling.shares", remedy="loosen one of these bounds"
    )


def _count_pairs(plan: DrawPlan, strata: Strata, problem: SamplingProblem) -> Counted:
    count = partial(_count_block, rows=problem.rows, plan=replace(plan, facts={}, measured={}), strata=strata)
    found = problem.compute.reduce(count, merge_counted, problem.rows.blocks, work=problem.rows.pool.rows * 40)
    nothing = np.empty(0, np.int64)
    return Counted(nothing, nothing) if found is None else found


def _count_block(block: str, rows: CandidateRows, plan: DrawPlan, strata: Strata) -> Counted:
    table = rows.table(block, [*plan.columns, *strata.columns])
    key = strata.of(table) * len(plan.sizes) + _cells(plan.cells_of, table, block)
    return Counted(*np.unique(key, return_counts=True))


def _cells(cells_of: CellsOf | None, table: pa.Table, block: str) -> NDArray[np.int64]:
    return table["leaf"].to_numpy().astype(np.int64) if cells_of is None else cells_of(table, block)
