"""Semantic duplicates: rows whose vectors point the same way, found inside cells that are made for this alone.

SemDeDup (Abbas et al. 2023, arXiv 2303.09540): cluster the vectors, then compare only inside clusters. Rows of a cell
are taken in the order of `keep`, a block at a time; a row is dropped if a row kept before it is similar enough, and the
most similar of these represents it. Memory is bounded by a batch of cells,
and by a block of rows times a block of kept ones, however large a cell is.
"""

from contextlib import closing
from functools import partial
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits

from evenkeel.infra.compiled import compiled
from evenkeel.infra.dtypes import Array, Float32Array, Int64Array, UInt64Array
from evenkeel.infra.reduction import results_here
from evenkeel.tasks.dedup.cells import Cells, make_cells, most_similar
from evenkeel.tasks.dedup.config import SemanticConfig
from evenkeel.tasks.dedup.device_cells import spans_of, thin_on_device
from evenkeel.tasks.dedup.drops import SEMANTIC, Drops
from evenkeel.tasks.dedup.gathered import Batch, gather, open_batch, space_for
from evenkeel.tasks.dedup.stage import Stage
from evenkeel.tasks.embed.device import driver_device, worker_device
from evenkeel.tasks.kmeans.options import Device
from evenkeel.tasks.step import Run

EPSILON = 0.05
ROWS_PER_BLOCK = 1024
KEPT_PER_BLOCK = 8192
MAX_BYTES_IN_MEMORY = 1 << 28
TRIAL_ROWS = 1 << 15
BISECTIONS = 14
READERS = 4


class SemanticFacts(NamedTuple):
    """The epsilon that was used, the number of cells, and the rows of the largest."""

    epsilon: float
    cells: int
    largest_cell: int


def semantic_duplicates(stage: Stage, config: SemanticConfig, run: Run) -> tuple[Drops, SemanticFacts]:
    """Return semantic duplicates with their representatives, and facts; rows with a zero vector take no part."""
    with threadpool_limits(1):  # the number of BLAS threads would show in the last bits
        cells = make_cells(stage, config, run)
        epsilon = epsilon_for(cells, config, driver_device(run.compute))
        cells = gather(cells, run)
        compare = partial(_compare, cells, config.keep, 1 - epsilon, worker_device(run.compute))
        work = stage.pool.rows * stage.vectors.dimension * 4
        parts = run.compute.map(compare, cells.batches(), work=work)
    drops = Drops.gathered(parts, SEMANTIC)
    return drops, SemanticFacts(epsilon, len(cells.sizes), max(cells.sizes, default=0))


def epsilon_for(cells: Cells, config: SemanticConfig, device: Device) -> float:
    """Return the config's epsilon, or the one that drops about its rate: bisected on a seeded sample of whole cells.

    device: where rows are compared.
    """
    if config.rate is None:
        return EPSILON if config.epsilon is None else config.epsilon
    order = np.random.default_rng([config.seed, 0xE75]).permutation(len(cells.sizes))
    ends = np.cumsum([cells.sizes[cell] for cell in order])
    trial = np.sort(order[: int(np.searchsorted(ends, TRIAL_ROWS)) + 1])
    rows = sum(cells.sizes[cell] for cell in trial)
    low, high = 0.0, 1.0
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        parts = [_compare(cells, config.keep, 1 - middle, device, (int(cell), int(cell) + 1)) for cell in trial]
        dropped = sum(len(part[0]) for part in parts)
        low, high = (middle, high) if dropped <= config.rate * rows else (low, middle)
    return low


def in_order(members: Array, keep: str) -> Array:
    """Return members cell by cell, the rows to keep first; ties by the hash of the id, then by row id."""
    keys = {
        "closest": [-members["centrality"]],
        "furthest": [members["centrality"]],
        "score": [members["priority"]],
        "random": [],
    }[keep]
    return members[np.lexsort((members["row_id"], members["identity"], *keys, members["cell"]))]


def _compare(
    cells: Cells, keep: str, threshold: float, device: Device, batch: tuple[int, int]
) -> tuple[UInt64Array, UInt64Array, Float32Array]:
    """Return the dropped rows of some cells, their representatives and the cosine similarities to these."""
    opened = open_batch(cells, batch)
    members = in_order(opened.members, keep)
    edges = np.flatnonzero(np.diff(members["cell"], prepend=-1, append=-1))
    thin = _thin_cells_on_device if device.gpu else _thin_cells
    representative, similarity = thin(opened, members, edges, np.float32(threshold))
    gone = np.flatnonzero(representative != np.arange(len(members)))
    return members["row_id"][gone], members["row_id"][representative[gone]], similarity[gone]


def _thin_cells(
    batch: Batch, members: Array, edges: Int64Array, threshold: np.float32
) -> tuple[Int64Array, Float32Array]:
    """Return the representative of each member (itself where kept), and their similarity; edges: where cells begin."""
    representative, similarity = np.arange(len(members)), np.ones(len(members), np.float32)
    for first, last in pairwise(edges):
        inside, similarity[first:last] = _thin(batch, members[first:last], threshold)
        representative[first:last] = inside + first
    return representative, similarity


def _thin_cells_on_device(
    batch: Batch, members: Array, edges: Int64Array, threshold: np.float32
) -> tuple[Int64Array, Float32Array]:
    """Return what `_thin_cells` returns; threads read the next rows while the device compares.

    They end with it, also where it fails: a collector of garbage that waited for them could hold what they wait for.
    """
    sizes = np.diff(edges).tolist()
    parts = [members[start:stop] for _, start, stop in spans_of(sizes)]
    space = partial(_space_for, cells=batch.cells)
    with closing(results_here(batch.stored, parts, READERS, ahead=1)) as blocks:
        return thin_on_device(sizes, blocks, batch.cells.vectors.dimension, threshold, space)


def _thin(batch: Batch, members: Array, threshold: np.float32) -> tuple[Int64Array, Float32Array]:
    """Return the representative of each member of one cell, in order (itself where kept), and their similarity."""
    representative, similarity = np.arange(len(members)), np.ones(len(members), np.float32)
    kept, places, count = _space_for(len(members), batch.cells), np.zeros(len(members), np.int64), 0
    for start in range(0, len(members), ROWS_PER_BLOCK):
        rows = batch.rows(members[start : start + ROWS_PER_BLOCK])
        blocks = (kept[first : min(first + KEPT_PER_BLOCK, count)] for first in range(0, count, KEPT_PER_BLOCK))
        nearest, closeness = most_similar(rows, blocks)
        inside, closeness = _greedy(rows @ rows.T, closeness, threshold)
        fresh = np.flatnonzero(inside == np.arange(len(rows)))
        here = slice(start, start + len(rows))
        representative[here], similarity[here] = np.where(inside < 0, places[nearest], inside + start), closeness
        kept[count : count + len(fresh)], places[count : count + len(fresh)] = rows[fresh], fresh + start
        count += len(fresh)
    return representative, np.clip(similarity, 0, 1)


def _space_for(rows: int, cells: Cells) -> Float32Array:
    """Return an empty (rows, d) array for the kept rows of a cell: in memory, or on disk where they may be many."""
    return space_for(rows, cells, np.float32, MAX_BYTES_IN_MEMORY)


@compiled
def _greedy(scores: Float32Array, closeness: Float32Array, threshold: np.float32) -> tuple[Int64Array, Float32Array]:
    """Return for each row the most similar row kept before it, itself where none is similar enough, and how similar.

    scores: (n, n) of the rows of a block. closeness: (n,), to the most similar of those kept before the block; -1 is
    returned where that stays the most similar, ties included.
    """
    rows = len(scores)
    representative, similarity, kept = np.full(rows, -1), closeness.copy(), np.zeros(rows, np.bool_)
    for row in range(rows):
        for other in range(row):
            if kept[other] and scores[row, other] > similarity[row]:
                representative[row], similarity[row] = other, scores[row, other]
        if similarity[row] < threshold:
            representative[row], similarity[row], kept[row] = row, np.float32(1), True
    return representative, similarity
