"""Join the simple hashes of a vector to one bucket for each hash function; a compiled loop."""

import numpy as np
from numpy.typing import NDArray

from evenkeel.infra.compiled import compiled
from evenkeel.infra.hashing import FIRST, GOLDEN

HALF = np.uint64(31)


@compiled
def join_slots(projected: NDArray[np.float32], concat: int, buckets: int, slots: NDArray[np.int64]) -> None:
    """Write the bucket of every vector under each hash to slots, (count, n) int64.

    projected: (n, count * concat) float32 in units of the width, `concat` columns side by side for each hash.
    """
    many = np.uint64(buckets)
    for row in range(len(projected)):
        for number in range(len(slots)):
            mixed = np.uint64(0)
            for column in range(number * concat, (number + 1) * concat):
                place = np.uint64(np.int64(np.floor(projected[row, column])))
                mixed = (mixed * GOLDEN + place) * FIRST
                mixed ^= mixed >> HALF
            slots[number, row] = np.int64(mixed % many)
