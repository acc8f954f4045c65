"""The least hashes of MinHash on a GPU: what `minhash.py` does on a CPU, bit for bit. Untested on hardware.

cuDF has a MinHash kernel too; its hash functions are others, so that a pair near the threshold would be found by one
kind of machine and missed by the other. This one is the same sum, so a recipe means the same rows on both.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import cuda

THREADS = 128


def least_hashes(
    shingles: npt.NDArray[np.uint32],
    offsets: npt.NDArray[np.int64],
    turn: npt.NDArray[np.uint32],
    factor: npt.NDArray[np.uint32],
) -> npt.NDArray[np.uint32]:
    """Return for every text the least value of each hash function over its shingles, (n, hashes) uint32.

    shingles: flat; text i has offsets[i] .. offsets[i + 1], at least one.
    """
    texts = len(offsets) - 1
    if not texts:
        return np.empty((0, len(turn)), np.uint32)
    least = cuda.device_array((texts, len(turn)), np.uint32)
    _least[texts, THREADS](*(cuda.to_device(array) for array in (shingles, offsets, turn, factor)), least)
    found: npt.NDArray[np.uint32] = least.copy_to_host()
    return found


@cuda.jit  # type: ignore[untyped-decorator]
def _least(shingles: Any, offsets: Any, turn: Any, factor: Any, least: Any) -> None:
    """One block of threads per text, one thread per hash function (and every 128th after it)."""
    text = cuda.blockIdx.x
    for one in range(cuda.threadIdx.x, len(turn), cuda.blockDim.x):
        smallest = np.uint32(0xFFFFFFFF)
        for place in range(offsets[text], offsets[text + 1]):
            hashed = np.uint32((shingles[place] ^ turn[one]) * factor[one])
            smallest = min(smallest, hashed)
        least[text, one] = smallest
