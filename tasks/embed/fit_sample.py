"""Draw the seeded sample of a pool that embedding maps are fitted on."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from evenkeel.tasks.ingest.pool import Block

Positions = npt.NDArray[np.int64]
MAX_BLOCKS = 256


def sample_rows(blocks: Sequence[Block], size: int, seed: int) -> list[tuple[Block, Positions]]:
    """Draw at most `size` rows uniformly without replacement; return (block, ascending positions in it) pairs.

    Of more than 256 blocks, 256 are drawn first, so that a huge pool is not read twice.
    """
    rng = np.random.default_rng([seed, 0x5A3B])
    if len(blocks) > MAX_BLOCKS:
        blocks = [blocks[i] for i in np.sort(rng.choice(len(blocks), MAX_BLOCKS, replace=False))]
    ends = np.cumsum([block.rows for block in blocks], dtype=np.int64)
    rows = int(ends[-1]) if len(ends) else 0
    drawn = np.arange(rows) if rows <= size else np.sort(rng.choice(rows, size, replace=False))
    stops = np.searchsorted(drawn, ends)
    starts = np.concatenate([[0], stops[:-1]]) if len(ends) else stops
    return [
        (block, (drawn[start:stop] - (end - block.rows)).astype(np.int64))
        for block, end, start, stop in zip(blocks, ends, starts, stops, strict=True)
        if stop > start
    ]
