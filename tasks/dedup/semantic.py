"""Semantic duplicates: rows whose vectors point the same way, found inside cells of their own making.

SemDeDup (Abbas et al. 2023, arXiv 2303.09540): cluster the vectors, then compare only inside clusters. Rows of a cell
are taken in the order of `keep`, a block at a time; a row falls to the most similar row kept before it, if that is
similar enough. Memory is bounded by a block of rows times a block of kept ones, however large a cell is.
"""

from functools import partial
from itertools import pairwise
from tempfile import TemporaryFile
from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from evenkeel.tasks.dedup.cells import Cells, Floats, Members, make_cells
from evenkeel.tasks.dedup.config import SemanticConfig
from evenkeel.tasks.dedup.drops import SEMANTIC, Drops
from evenkeel.tasks.dedup.duplicates import Duplicates
from evenkeel.tasks.embed.vectors import Vectors
from evenkeel.tasks.ingest.pool import Pool
from evenkeel.tasks.step import Run

EPSILON = 0.05
BLOCK = 1024
KEPT_BLOCK = 8192
IN_MEMORY = 1 << 28
TRIAL_ROWS = 1 << 15
TRIALS = 14


def semantic_duplicates(
    pool: Pool,
    vectors: Vectors,
    config: SemanticConfig,
    best: str | None,
    before: Duplicates,
    folder: str,
    run: Run,
) -> tuple[Drops, dict[str, Any]]:
    """Return rows whose vector repeats another's, each with its representative, and facts.

    Rows that `before` dropped and rows with a zero vector take no part.
    """
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):  # the number of BLAS threads would show in the last bits
        cells = make_cells(pool, vectors, config, best, before, folder, run)
        epsilon = epsilon_for(cells, config)
        work = pool.rows * vectors.dimension * 4
        parts = run.compute.map(partial(_compare, cells, config.keep, 1 - epsilon), cells.batches(), work=work)
    drops = Drops.gathered(parts, SEMANTIC)
    facts = {"epsilon": epsilon, "cells": len(cells.sizes), "largest_cell": max(cells.sizes, default=0)}
    return drops, facts


def epsilon_for(cells: Cells, config: SemanticConfig) -> float:
    """Return the config's epsilon, or the one that drops about its rate: bisected on a seeded sample of whole cells."""
    if config.rate is None:
        return EPSILON if config.epsilon is None else config.epsilon
    order = np.random.default_rng([config.seed, 0xE75]).permutation(len(cells.sizes))
    ends = np.cumsum([cells.sizes[cell] for cell in order])
    trial = np.sort(order[: int(np.searchsorted(ends, TRIAL_ROWS)) + 1])
    rows = sum(cells.sizes[cell] for cell in trial)
    low, high = 0.0, 1.0
    for _ in range(TRIALS):
        middle = (low + high) / 2
        parts = [_compare(cells, config.keep, 1 - middle, (int(cell), int(cell) + 1)) for cell in trial]
        dropped = sum(len(part[0]) for part in parts)
        low, high = (middle, high) if dropped <= config.rate * rows else (low, middle)
    return low


def in_order(members: Members, keep: str) -> Members:
    """Return members cell by cell, the rows to keep first; ties by the hash of the id, then by place."""
    keys = {
        "closest": [-members["centrality"]],
        "furthest": [members["centrality"]],
        "score": [members["priority"]],
        "random": [],
    }[keep]
    return members[np.lexsort((members["row_id"], members["identity"], *keys, members["cell"]))]


def _compare(
    cells: Cells, keep: str, least: float, batch: tuple[int, int]
) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64], Floats]:
    """Return the dropped rows of some cells, their representatives and their cosine similarities."""
    members = in_order(cells.members(*batch), keep)
    stands, similarity = np.arange(len(members)), np.ones(len(members), np.float32)
    edges = np.flatnonzero(np.diff(members["cell"], prepend=-1, append=-1))
    for first, last in pairwise(edges):
        one, alike = _thin(cells, members[first:last], np.float32(least))
        stands[first:last], similarity[first:last] = one + first, alike
    gone = np.flatnonzero(stands != np.arange(len(members)))
    return members["row_id"][gone], members["row_id"][stands[gone]], similarity[gone]


def _thin(cells: Cells, members: Members, least: np.float32) -> tuple[npt.NDArray[np.int64], Floats]:
    """Return for each member of one cell, in order, its representative and their similarity."""
    stands, similarity = np.arange(len(members)), np.ones(len(members), np.float32)
    kept, places, count = _room(len(members), cells), np.empty(len(members), np.int64), 0
    for start in range(0, len(members), BLOCK):
        rows = cells.rows(members[start : start + BLOCK])
        nearest, alike = np.zeros(len(rows), np.int64), np.full(len(rows), -2, np.float32)
        for first in range(0, count, KEPT_BLOCK):
            scores = rows @ kept[first : min(first + KEPT_BLOCK, count)].T
            best = scores.argmax(axis=1)
            closer = scores[np.arange(len(rows)), best]
            nearest = np.where(closer > alike, places[first + best], nearest)
            alike = np.maximum(alike, closer)
        left = np.flatnonzero(alike < least)
        inner, inner_alike = _greedy(rows[left] @ rows[left].T, least)
        nearest[left], alike[left] = left[inner] + start, inner_alike
        stands[start : start + len(rows)], similarity[start : start + len(rows)] = nearest, alike
        fresh = left[inner == np.arange(len(left))]
        kept[count : count + len(fresh)], places[count : count + len(fresh)] = rows[fresh], fresh + start
        count += len(fresh)
    return stands, np.clip(similarity, 0, 1)


def _room(rows: int, cells: Cells) -> Floats:
    """Return (rows, d) float32 room for the kept rows of a cell: in memory, or on disk where they may be many."""
    shape = (rows, cells.vectors.dimension)
    if rows * shape[1] * 4 <= IN_MEMORY:
        return np.empty(shape, np.float32)
    cells.scratch.mkdir(parents=True, exist_ok=True)
    with TemporaryFile(dir=cells.scratch) as file:
        return np.memmap(file, np.float32, "w+", shape=shape)


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _greedy(scores: Any, least: Any) -> Any:
    """Return for each row the most similar row kept before it, if at least `least`; itself otherwise."""
    rows = len(scores)
    stands, similarity = np.arange(rows), np.ones(rows, np.float32)
    for row in range(rows):
        closest = least
        for other in range(row):
            if stands[other] == other and scores[row, other] >= closest:
                stands[row], closest = other, scores[row, other]
        if stands[row] != row:
            similarity[row] = closest
    return stands, similarity
