"""Set functions of vectors: facility location, and the determinant of a kernel.

Sources. facility: Cornuejols, Fisher and Nemhauser 1977; as in SMART (arXiv 2403.08370). determinant: the greedy
maximum a posteriori of a determinantal point process by incremental Cholesky (arXiv 1709.05135), here lazily: a row's
factor is brought up to date only where its gain is asked.
"""

import numpy as np

from evenkeel.infra.compiled import compiled
from evenkeel.infra.dtypes import Float32Array, Float64Array, Int64Array

SMALLEST = 1e-12
PAIRS_SEED = 0xD7


class FacilityLocation:
    """The sum over all rows of the similarity to the chosen row most like it. similarity: (n, n) float32 >= 0."""

    def __init__(self, similarity: Float32Array) -> None:
        self.similarity = similarity
        self.best = np.zeros(len(similarity), np.float32)

    def gains(self) -> Float64Array:
        """Return what every row would add now, (n,) float64."""
        return np.array([self.gain(row) for row in range(len(self.best))])

    def gain(self, row: int) -> float:
        """Return what a row would add now."""
        return float(_above(self.similarity[row], self.best))

    def add(self, row: int) -> None:
        """Add a row to the set."""
        np.maximum(self.best, self.similarity[row], out=self.best)


class LogDeterminant:
    """The log of the determinant of the kernel of the chosen rows.

    vectors: (n, d) float32. quality: (n,) float64 > 0. The kernel of two rows is q_i q_j exp(-|x_i - x_j|^2 / scale),
    with the median squared distance as its scale.
    """

    def __init__(self, vectors: Float32Array, quality: Float64Array, wanted: int) -> None:
        self.vectors, self.quality = vectors - vectors.mean(axis=0), quality
        self.scale = median_squared(vectors)
        self.rest = quality.astype(np.float64) ** 2
        self.factor = np.zeros((len(vectors), min(wanted, len(vectors))))
        self.known = np.zeros(len(vectors), np.int64)
        self.chosen: list[int] = []
        self.inside = np.zeros(len(vectors), bool)

    def gains(self) -> Float64Array:
        """Return what every row would add now, (n,) float64."""
        return np.array([self.gain(row) for row in range(len(self.rest))])

    def gain(self, row: int) -> float:
        """Return what a row would add now."""
        known, now = int(self.known[row]), len(self.chosen)
        if self.inside[row]:
            return float(np.log(SMALLEST))
        if known < now:
            others = np.array(self.chosen[known:])
            gap = self.vectors[others] - self.vectors[row]
            squared = np.einsum("ij,ij->i", gap, gap).astype(np.float64)
            kernel = self.quality[row] * self.quality[others] * np.exp(-squared / self.scale)
            self.rest[row] = _extend(self.factor, row, others, kernel, known, self.rest)
            self.known[row] = now
        return float(np.log(max(float(self.rest[row]), SMALLEST)))

    def add(self, row: int) -> None:
        """Add a row to the set; its gain has just been computed."""
        self.chosen.append(row)
        self.inside[row] = True


def cosine_similarity(vectors: Float32Array) -> Float32Array:
    """Return the cosines of all pairs of rows, (n, n) float32, those below 0 as 0."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit = vectors / np.maximum(lengths, np.float32(1e-30))
    found: Float32Array = np.maximum(unit @ unit.T, np.float32(0))
    return found


def median_squared(vectors: Float32Array) -> float:
    """Return the median squared distance of pairs of rows, from 2,048 pairs; 1 where it is 0."""
    if len(vectors) < 2:
        return 1.0
    one, other = np.random.default_rng(PAIRS_SEED).integers(0, len(vectors), (2, 2048))
    gap = (vectors[one] - vectors[other])[one != other].astype(np.float64)
    found = float(np.median(np.einsum("ij,ij->i", gap, gap))) if len(gap) else 0.0
    return found if found > 0 else 1.0


@compiled
def _above(similar: Float32Array, best: Float32Array) -> float:
    total = 0.0
    for place in range(len(best)):
        if similar[place] > best[place]:
            total += float(similar[place]) - float(best[place])
    return total


@compiled
def _extend(
    factor: Float64Array, row: int, others: Int64Array, kernel: Float64Array, known: int, rest: Float64Array
) -> float:
    """Write the factor of a row for chosen rows that it does not know; return what is left of its own variance."""
    left = float(rest[row])
    for place in range(len(others)):
        column, other = known + place, others[place]
        value = kernel[place]
        for one in range(column):
            value -= factor[other, one] * factor[row, one]
        value /= np.sqrt(max(rest[other], SMALLEST))
        factor[row, column] = value
        left -= value * value
    return max(left, 0.0)
