"""Choose rows inside the leaves by their vectors: each leaf, or each value of a group in it, on its own.

Rows of a leaf are gathered from all blocks. Of one with more than 4,096 rows the first so many by the hash of the id
are chosen from, a random sample.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits

from evenkeel.infra import storage
from evenkeel.infra.arrays import write_array
from evenkeel.infra.dtypes import Array, Float64Array
from evenkeel.tasks.cluster.hierarchy import Hierarchy
from evenkeel.tasks.embed.vectors import Vectors
from evenkeel.tasks.sample.blocks import array_for_workers, mapped
from evenkeel.tasks.sample.candidates import score_of
from evenkeel.tasks.sample.greedy.engine import Chosen, lazy_greedy
from evenkeel.tasks.sample.greedy.gains import LeafGain
from evenkeel.tasks.sample.greedy.picks import Picks, picks_in_order
from evenkeel.tasks.sample.greedy.vectors import FacilityLocation, LogDeterminant, cosine_similarity
from evenkeel.tasks.sample.problem import SamplingProblem
from evenkeel.tasks.signal.neighbours.cells import Cells, make_cells
from evenkeel.tasks.signal.source import SignalSource
from evenkeel.tasks.step import Run

MAX_COMPARED = 4096
WHERE = "sampling.strategy"


class Done(NamedTuple):
    """What the choices of some leaves add up to."""

    value: float
    evaluations: int
    rows: int


@dataclass(frozen=True)
class LeafGreedy:
    """Choices in every cell of (leaf, value of a group). quotas: URI of (leaf, label, quota), sorted.

    quality: a score column, or "".
    """

    cells: Cells
    gain: LeafGain
    quality: str
    quotas: str
    folder: str

    def picks_of(self, batch: int) -> str:
        """Return where the picks of a batch lie; other quotas have other files, as workers keep their copies."""
        return storage.join(self.folder, f"picks-{self.quotas.rpartition('/')[2].removesuffix('.npy')}-{batch}.npy")


def choose_in_leaves(
    gain: LeafGain, group: str, quality: str, quotas: Callable[[Cells], Array], problem: SamplingProblem
) -> tuple[Picks, dict[str, object]]:
    """Return the picks of every leaf, or of every value of a group column in it, and facts about the choice.

    quotas: gives for the cells (n, 3) float64 of leaf, label and how many rows are wanted, sorted.
    """
    rows, folder = problem.rows, storage.join(problem.folder, "leaves")
    source = SignalSource(
        rows.pool, WHERE, Vectors.open(rows.embedding, problem.scratch), Hierarchy.open(rows.clustering)
    )
    run = Run("", "", Path(problem.scratch), problem.compute)
    cells = make_cells(source, folder, run, metric="euclidean", label=f"group.{group}" if group else "", clusters=True)
    wanted = array_for_workers(folder, quotas(cells).ravel())
    greedy = LeafGreedy(cells, gain, quality, wanted, problem.folder)
    with threadpool_limits(1):
        work = rows.pool.rows * source.vectors.dimension * 4
        parts = problem.compute.map(partial(choose_batch, greedy), cells.batches(), work=work)
    files = tuple(greedy.picks_of(batch) for batch in cells.batches())
    facts: dict[str, object] = {
        "value": float(sum(part.value for part in parts)),
        "evaluations": sum(part.evaluations for part in parts),
        "candidates": sum(part.rows for part in parts),
    }
    return Picks(files, problem.scratch, problem.seed), facts


def choose_batch(greedy: LeafGreedy, batch: int) -> Done:
    """Choose the rows of consecutive leaves, and write them as picks."""
    cells, opened = greedy.cells, greedy.cells.open()
    quotas = mapped(greedy.quotas, cells.source.pool.scratch).reshape(-1, 3).astype(np.int64)
    value, evaluations, compared = 0.0, 0, 0
    found = [picks_in_order(np.empty(0, np.uint64))]
    for leaf in range(cells.edges[batch], cells.edges[batch + 1]):
        start, stop = np.searchsorted(quotas[:, 0], [leaf, leaf + 1])
        members = opened.members(leaf) if stop > start else np.empty(0, [("label", "<i4")])
        for _, label, wanted in quotas[start:stop].tolist():
            mine = members[members["label"] == label][: max(MAX_COMPARED, wanted)]
            if wanted and len(mine):
                chosen = _choose(greedy, mine, wanted)
                found.append(picks_in_order(cells.row_ids(mine[chosen.order])))
                value, evaluations = value + chosen.value, evaluations + chosen.evaluations
                compared += len(mine)
    picks = np.concatenate(found)
    write_array(greedy.picks_of(batch), picks[np.argsort(picks["row_id"])])
    return Done(value, evaluations, compared)


def _choose(greedy: LeafGreedy, members: Array, wanted: int) -> Chosen:
    """Return places of members in the order of choice; where all are wanted, their own order."""
    if wanted >= len(members):
        return Chosen(np.arange(len(members)), np.zeros(len(members)), 0)
    vectors = greedy.cells.rows(members[:MAX_COMPARED])
    if greedy.gain == "facility":
        chosen = lazy_greedy(FacilityLocation(cosine_similarity(vectors)), wanted)
    else:
        quality = _quality(greedy, members[:MAX_COMPARED])
        chosen = lazy_greedy(LogDeterminant(vectors, quality, wanted), wanted)
    rest = np.arange(len(vectors), wanted) if wanted > len(vectors) else np.empty(0, np.int64)
    return Chosen(np.concatenate([chosen.order, rest]), chosen.gains, chosen.evaluations)


def _quality(greedy: LeafGreedy, members: Array) -> Float64Array:
    """Return the quality of some members, (n,) float64 > 0; 1 without a score."""
    found = np.ones(len(members))
    if greedy.quality:
        for block in np.unique(members["block"]):
            mine = np.flatnonzero(members["block"] == block)
            column = f"score.{greedy.quality}"
            table = greedy.cells.source.pool.table(greedy.cells.source.blocks[block], ["row_id", column])
            found[mine] = np.maximum(score_of(table, greedy.quality)[members["row"][mine]], 1e-9)
    return found
