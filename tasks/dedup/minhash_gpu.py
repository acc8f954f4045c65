"""The minima of MinHash on a GPU: what `minhash.py` computes on a CPU, bit for bit. Untested on hardware.

cuDF has a MinHash kernel too, with other hash functions: a pair near the threshold would be found by one kind of
machine and missed by the other. This one computes the same sums, so a recipe keeps the same rows on both.
"""

import numpy as np
from numba import cuda

from evenkeel.infra.dtypes import Int64Array, UInt32Array

THREADS = 128


def min_hashes(shingles: UInt32Array, offsets: Int64Array, turn: UInt32Array, factor: UInt32Array) -> UInt32Array:
    """Return the smallest value of each hash function over the shingles of every text, (n, hashes) uint32.

    shingles: flat; text i has offsets[i] .. offsets[i + 1], at least one.
    """
    texts = len(offsets) - 1
    if not texts:
        return np.empty((0, len(turn)), np.uint32)
    minima = cuda.device_array((texts, len(turn)), np.uint32)
    _min_hashes[texts, THREADS](*(cuda.to_device(array) for array in (shingles, offsets, turn, factor)), minima)
    found: UInt32Array = minima.copy_to_host()
    return found


@cuda.jit  # type: ignore[untyped-decorator]
def _min_hashes(
    shingles: UInt32Array, offsets: Int64Array, turn: UInt32Array, factor: UInt32Array, minima: UInt32Array
) -> None:
    """Compute the minima of one text per block of threads; a thread takes every 128th hash function."""
    text = cuda.blockIdx.x
    for one in range(cuda.threadIdx.x, len(turn), cuda.blockDim.x):
        smallest = np.uint32(0xFFFFFFFF)
        for place in range(offsets[text], offsets[text + 1]):
            hashed = np.uint32((shingles[place] ^ turn[one]) * factor[one])
            smallest = min(smallest, hashed)
        minima[text, one] = smallest
