"""The nearest of some rows: squared distances by a matrix product, the few nearest kept, and these measured exactly."""

from typing import NamedTuple

import numpy as np

from evenkeel.infra.compiled import compiled
from evenkeel.infra.dtypes import Float32Array, Float64Array, Int64Array
from evenkeel.tasks.kmeans.kernels import kernel, squared_gap

ROWS_PER_CHUNK = 256


class Nearest(NamedTuple):
    """The nearest of every row, by rising distance; -1 and infinity where there are fewer than k.

    places: (n, k) int64, among the rows compared with. squared: (n, k) float64, squared Euclidean distances.
    """

    places: Int64Array
    squared: Float64Array


def nearest(rows: Float32Array, others: Float32Array, own: Int64Array, k: int) -> Nearest:
    """Return the k nearest of others, (m, d), to every row, (n, d).

    own: (n,), where among the others a row itself is, which is no neighbour of its own; -1 where it is not. Ties go to
    the first. Both lie about their common centre, or the matrix product loses digits: centre them before.
    """
    places, squared = np.full((len(rows), k), -1, np.int64), np.full((len(rows), k), np.inf)
    half = np.einsum("ij,ij->i", others, others) * np.float32(0.5)
    for start in range(0, len(rows), ROWS_PER_CHUNK):
        part = slice(start, start + ROWS_PER_CHUNK)
        _keep(half - rows[part] @ others.T, own[part], places[part])
        _measure(rows[part], others, places[part], squared[part])
    order = np.argsort(squared, axis=1, kind="stable")
    return Nearest(np.take_along_axis(places, order, 1), np.take_along_axis(squared, order, 1))


def distance_to_last(found: Nearest) -> Float64Array:
    """Return the distance to the k-th nearest, or to the farthest of fewer, (n,) float64; NaN where there is none."""
    finite = np.where(np.isfinite(found.squared), found.squared, -1.0).max(axis=1, initial=-1.0)
    distances: Float64Array = np.sqrt(np.where(finite < 0, np.nan, finite))
    return distances


def disagreement(found: Nearest, labels: Int64Array, others: Int64Array) -> Float64Array:
    """Return the share of the nearest whose label is another, (n,) float64; NaN where there is none.

    labels: (n,) of the rows. others: (m,) of those compared with.
    """
    there = found.places >= 0
    differ = there & (others[np.maximum(found.places, 0)] != labels[:, None]) if len(others) else there
    with np.errstate(invalid="ignore"):
        shares: Float64Array = differ.sum(axis=1) / there.sum(axis=1)
    return shares


@compiled
def _keep(scores: Float32Array, own: Int64Array, places: Int64Array) -> None:
    """Write the places of the k smallest scores (n, m) of every row to places (n, k), smallest first."""
    k = places.shape[1]
    best = np.empty(k, np.float32)
    for i in range(scores.shape[0]):
        best[:] = np.inf
        for j in range(scores.shape[1]):
            score = scores[i, j]
            if score >= best[k - 1] or j == own[i]:
                continue
            at = k - 1
            while at > 0 and best[at - 1] > score:
                best[at], places[i, at] = best[at - 1], places[i, at - 1]
                at -= 1
            best[at], places[i, at] = score, j


@kernel
def _measure(rows: Float32Array, others: Float32Array, places: Int64Array, squared: Float64Array) -> None:
    """Write the squared distances from rows (n, d) to those of others (m, d) in places (n, k) to squared (n, k)."""
    for i in range(places.shape[0]):
        for j in range(places.shape[1]):
            if places[i, j] >= 0:
                squared[i, j] = squared_gap(rows[i], others[places[i, j]])
