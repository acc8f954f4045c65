"""Find rows of a pool by their ids: which block holds each, and where in it."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from evenkeel.tasks.ingest.pool import Block, Pool


def locate(
    pool: Pool, row_ids: npt.NDArray[np.uint64]
) -> Iterator[tuple[Block, npt.NDArray[np.uint64], npt.NDArray[np.int64]]]:
    """Yield (block, row ids, places in the block) for every block that holds some of the row ids.

    row_ids: (n,) uint64, distinct, ascending; ids that the pool does not have are left out. Only blocks of the shards
    in question are read.
    """
    for block in pool.blocks:
        start, stop = np.searchsorted(row_ids, np.array([block.shard << 40, (block.last_shard + 1) << 40], np.uint64))
        asked = row_ids[start:stop]
        if len(asked):
            held = pool.table(block, ["row_id"])["row_id"].to_numpy()
            places = np.searchsorted(held, asked)
            hit = held[np.minimum(places, len(held) - 1)] == asked
            if hit.any():
                yield block, asked[hit], places[hit]
