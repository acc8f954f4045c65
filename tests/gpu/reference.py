"""The kernels of the device loop in NumPy: what they compute, said plainly. `standin.py` runs the loop on them."""

import numpy as np

from evenkeel.infra.dtypes import Float32Array, Float64Array, Int32Array, Int64Array
from evenkeel.tasks.kmeans.device.arrays import CANDIDATES, NEAREST

ROWS = 512


def candidates(products: Float32Array, half: Float32Array, ids: Int32Array, scores: Float32Array) -> None:
    """Find the eight least half - products of every row."""
    ids[:], scores[:] = -1, np.inf
    for first in range(0, len(products), ROWS):
        part = slice(first, first + ROWS)
        found = half - products[part]
        order = np.argsort(found, axis=1, kind="stable")[:, :CANDIDATES]
        ids[part, : order.shape[1]] = order
        scores[part, : order.shape[1]] = np.take_along_axis(found, order, axis=1)


def settle(x: Float32Array, points: Float32Array, among: Int32Array, ids: Int32Array, gaps: Float32Array) -> None:
    """Find the three nearest of some points to every row."""
    ids[:], gaps[:] = -1, np.inf
    for first in range(0, len(x), ROWS):
        part = slice(first, first + ROWS)
        sorted_ids = np.sort(np.where(among[part] < 0, len(points), among[part]), axis=1)
        there = sorted_ids < len(points)
        apart = x[part, None] - points[np.where(there, sorted_ids, 0)]
        squared = np.where(there, (apart * apart).sum(axis=2), np.float32(np.inf))
        order = np.argsort(squared, axis=1, kind="stable")[:, :NEAREST]
        best = np.take_along_axis(squared, order, axis=1)
        gaps[part, : order.shape[1]] = best
        ids[part, : order.shape[1]] = np.where(np.isfinite(best), np.take_along_axis(sorted_ids, order, axis=1), -1)


def compare_all(x: Float32Array, points: Float32Array, ids: Int32Array, gaps: Float32Array) -> None:
    """Find the three nearest of all points to every row."""
    everyone = np.arange(len(points), dtype=np.int32)[None]
    for row in range(len(x)):
        settle(x[row : row + 1], points, everyone, ids[row : row + 1], gaps[row : row + 1])


def gaps(x: Float32Array, points: Float32Array, to: Int32Array, out: Float32Array) -> None:
    """Write the squared distance of every row to its point."""
    apart = x - points[np.maximum(to, 0)]
    out[:] = np.where(to >= 0, (apart * apart).sum(axis=1), np.float32(np.inf))


def add_segments(
    x: Float32Array, weights: Float32Array | None, order: Int64Array, starts: Int64Array, sums: Float64Array
) -> None:
    """Add the rows of every segment."""
    there = np.flatnonzero(np.diff(starts))
    if len(there):
        sorted_rows = x[order].astype(np.float64)
        if weights is not None:
            sorted_rows *= weights[order, None].astype(np.float64)
        sums[there] += np.add.reduceat(sorted_rows, starts[there], axis=0)
