"""Locality-sensitive hashes of vectors, and the sketch that counts rows by them."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evenkeel.infra.hashing import FIRST, GOLDEN

ROWS = 8192


@dataclass(frozen=True)
class HashFunctions:
    """p-stable hash functions of vectors (Datar et al. 2004), `concat` of them joined to one.

    centre: (d,) float32, taken off the vectors first so that their mean costs no precision.
    """

    centre: NDArray[np.float32]
    count: int
    concat: int
    buckets: int
    width: float
    seed: int

    def of(self, vectors: NDArray[np.float32]) -> Iterator[NDArray[np.int64]]:
        """Yield the bucket of every vector under each hash, (n,) int64."""
        rng = np.random.default_rng(self.seed)
        centred = vectors - self.centre
        for _ in range(self.count):
            directions = rng.standard_normal((len(self.centre), self.concat)).astype(np.float32)
            offsets = rng.uniform(0, self.width, self.concat).astype(np.float32)
            slots = np.floor((centred @ directions + offsets) / np.float32(self.width)).astype(np.int64)
            yield self._joined(slots)

    def count_rows(self, vectors: NDArray[np.float32]) -> NDArray[np.int64]:
        """Return the sketch of some rows, (count, buckets) int64; sketches of parts add up."""
        sketch = np.empty((self.count, self.buckets), np.int64)
        for number, slots in enumerate(self.of(vectors)):
            sketch[number] = np.bincount(slots, minlength=self.buckets)
        return sketch

    def _joined(self, slots: NDArray[np.int64]) -> NDArray[np.int64]:
        mixed = np.zeros(len(slots), np.uint64)
        with np.errstate(over="ignore"):
            for column in slots.T.astype(np.uint64):
                mixed = (mixed * GOLDEN + column) * FIRST
                mixed ^= mixed >> np.uint64(31)
        return (mixed % np.uint64(self.buckets)).astype(np.int64)


def nearest_distance(vectors: NDArray[np.float32]) -> float:
    """Return the median distance of (n, d) vectors to their nearest other one, equal ones left out; 0 without any."""
    centred = (vectors - vectors.mean(axis=0)).astype(np.float64) if len(vectors) else np.empty((0, 1))
    norms = (centred**2).sum(axis=1)
    squares = np.maximum(norms[:, None] + norms - 2 * centred @ centred.T, 0.0)
    squares[squares <= 1e-12 * norms.max(initial=0.0)] = np.inf
    nearest = np.sqrt(squares.min(axis=1, initial=np.inf))
    nearest = nearest[np.isfinite(nearest)]
    return float(np.median(nearest)) if len(nearest) else 0.0
