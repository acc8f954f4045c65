"""Records cut into equal ranges of 64-bit hashes, so that each range can be gathered from all blocks on its own."""

from itertools import pairwise

import numpy as np

from evenkeel.infra.dtypes import Array


def cut_by_range(records: Array, hashes: str, ranges: int) -> list[memoryview]:
    """Return the bytes of the records of each of so many ranges; records: (n,), sorted by their field `hashes`."""
    lows = np.array([part * 2**64 // ranges for part in range(ranges)], np.uint64)
    cuts = [*np.searchsorted(records[hashes], lows).tolist(), len(records)]
    return [records[first:last].view(np.uint8).data for first, last in pairwise(cuts)]
