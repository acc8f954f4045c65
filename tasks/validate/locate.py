"""Find rows of a pool by their ids: which block holds each, and where in it."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from evenkeel.infra.compute import Compute
from evenkeel.tasks.ingest.pool import Block, Pool

Found = TypeVar("Found")
Located = tuple[Block, npt.NDArray[np.uint64], npt.NDArray[np.int64]]


def locate(pool: Pool, row_ids: npt.NDArray[np.uint64]) -> Iterator[Located]:
    """Yield (block, row ids, places in the block) for every block that holds some of the row ids.

    row_ids: (n,) uint64, distinct, ascending; ids that the pool does not have are left out. Only blocks of the shards
    in question are read.
    """
    for job in _jobs(pool, row_ids):
        if (located := _within(pool, job)) is not None:
            yield located


def for_located(
    function: Callable[[Located], Found], pool: Pool, row_ids: npt.NDArray[np.uint64], compute: Compute, work: int
) -> list[Found]:
    """Return what a function finds of what `locate` yields, in that order, computed by workers that read the blocks.

    work: the bytes that are read (see `Compute.map`).
    """
    jobs = list(_jobs(pool, row_ids))
    found = compute.map(partial(_found_within, function, pool), jobs, work=work)
    return [one[0] for one in found if one is not None]


def _jobs(pool: Pool, row_ids: npt.NDArray[np.uint64]) -> Iterator[tuple[Block, npt.NDArray[np.uint64]]]:
    """Yield every block that may hold some of the row ids, with those."""
    for block in pool.blocks:
        start, stop = np.searchsorted(row_ids, np.array([block.shard << 40, (block.last_shard + 1) << 40], np.uint64))
        if stop > start:
            yield block, row_ids[start:stop]


def _within(pool: Pool, job: tuple[Block, npt.NDArray[np.uint64]]) -> Located | None:
    block, asked = job
    held = pool.table(block, ["row_id"])["row_id"].to_numpy()
    places = np.searchsorted(held, asked)
    hit = held[np.minimum(places, len(held) - 1)] == asked
    return (block, asked[hit], places[hit]) if hit.any() else None


def _found_within(
    function: Callable[[Located], Found], pool: Pool, job: tuple[Block, npt.NDArray[np.uint64]]
) -> tuple[Found] | None:
    located = _within(pool, job)
    return None if located is None else (function(located),)
