"""The minima of MinHash on a GPU: what `minhash.py` computes on a CPU, bit for bit.

cuDF has a MinHash kernel too, with other hash functions: a pair near the threshold would be found by one kind of
machine and missed by the other. This one computes the same numbers, so a recipe keeps the same rows on both.
"""

from functools import cache
from typing import Any

import numpy as np

from evenkeel.infra.dtypes import Int64Array, UInt32Array

THREADS = 128
SOURCE = r"""
// A block a text, a thread a hash function, or every 128th where there are more.
extern "C" __global__ void min_hashes(
    const unsigned* shingles, const long long* offsets, const unsigned* turn, const unsigned* factor, int size,
    unsigned* minima) {
  long long first = offsets[blockIdx.x], last = offsets[blockIdx.x + 1];
  for (int one = threadIdx.x; one < size; one += blockDim.x) {
    unsigned least = 0xffffffffu, mine = turn[one], times = factor[one];
    for (long long at = first; at < last; at++) {
      unsigned hashed = (shingles[at] ^ mine) * times;
      least = hashed < least ? hashed : least;
    }
    minima[(long long)blockIdx.x * size + one] = least;
  }
}
"""


def min_hashes(shingles: UInt32Array, offsets: Int64Array, turn: UInt32Array, factor: UInt32Array) -> UInt32Array:
    """Return the smallest value of each hash function over the shingles of every text, (n, hashes) uint32.

    shingles: flat; text i has offsets[i] .. offsets[i + 1], at least one.
    """
    texts, size = len(offsets) - 1, len(turn)
    if not texts:
        return np.empty((0, size), np.uint32)
    import cupy

    there = [cupy.asarray(array) for array in (shingles, offsets, turn, factor)]
    minima = cupy.empty((texts, size), np.uint32)
    kernel()((texts,), (THREADS,), (*there, cupy.int32(size), minima))
    return cupy.asnumpy(minima)  # type: ignore[no-any-return]


@cache
def kernel() -> Any:
    """Return the kernel, compiled when a process first asks for it."""
    import cupy

    return cupy.RawModule(code=SOURCE, options=("--std=c++17",)).get_function("min_hashes")
