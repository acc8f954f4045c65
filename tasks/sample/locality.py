"""Locality-sensitive hashes of vectors, and the sketch that counts rows by them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

ROWS = 4096


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

    def of(self, vectors: NDArray[np.float32]) -> NDArray[np.int64]:
        """Return the bucket of every vector under each hash, (count, n) int64."""
        from evenkeel.tasks.sample.joined_hashes import join_slots

        rng = np.random.default_rng(self.seed)
        directions = rng.standard_normal((len(self.centre), self.count * self.concat)).astype(np.float32)
        offsets = rng.uniform(0, 1, self.count * self.concat).astype(np.float32)
        directions /= np.float32(self.width)
        slots = np.empty((self.count, len(vectors)), np.int64)
        for first in range(0, len(vectors), ROWS):
            projected = (vectors[first : first + ROWS] - self.centre) @ directions + offsets
            join_slots(
                projected.astype(np.float32, copy=False), self.concat, self.buckets, slots[:, first : first + ROWS]
            )
        return slots

    def count_rows(self, vectors: NDArray[np.float32]) -> NDArray[np.int64]:
        """Return the sketch of some rows, (count, buckets) int64; sketches of parts add up."""
        sketch = np.empty((self.count, self.buckets), np.int64)
        for number, slots in enumerate(self.of(vectors)):
            sketch[number] = np.bincount(slots, minlength=self.buckets)
        return sketch


def nearest_distance(vectors: NDArray[np.float32]) -> float:
    """Return the median distance of (n, d) vectors to their nearest other one, equal ones left out; 0 without any."""
    centred = (vectors - vectors.mean(axis=0)).astype(np.float64) if len(vectors) else np.empty((0, 1))
    norms = (centred**2).sum(axis=1)
    squares = np.maximum(norms[:, None] + norms - 2 * centred @ centred.T, 0.0)
    squares[squares <= 1e-12 * norms.max(initial=0.0)] = np.inf
    nearest = np.sqrt(squares.min(axis=1, initial=np.inf))
    nearest = nearest[np.isfinite(nearest)]
    return float(np.median(nearest)) if len(nearest) else 0.0
