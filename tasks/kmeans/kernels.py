"""The compiled inner loops of k-means: pure functions on arrays, no Python objects, no threads of their own.

A squared distance is |x|^2 - 2 x.c + |c|^2, so the nearest centroid has the least |c|^2 / 2 - x.c; rows are centred and
scaled beforehand (`prepare.Rows`), which keeps float32 exact enough. Every
kernel releases the interpreter lock, so callers run parts in threads.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import numba
import numpy as np

from evenkeel.tasks.kmeans.tile import dots

Function = TypeVar("Function", bound=Callable[..., Any])
FAST = {"reassoc", "contract", "nsz", "arcp"}
ROWS = 64
CENTROIDS = 48


def kernel(function: Function) -> Function:
    """Compile a loop on first use, and keep the machine code on disk."""
    compiled: Function = numba.njit(nogil=True, fastmath=FAST, error_model="numpy", cache=True)(function)
    return compiled


@kernel
def nearest_of_all(x: Any, first: int, last: int, centroids: Any, half: Any, labels: Any) -> None:
    """Write the nearest centroid of rows first..last to labels (n,) int32; ties go to the lowest index.

    x: (n, d) float32; centroids: (k, d) float32; half: (k,) float32, half their squared norms.
    """
    k = centroids.shape[0]
    tile = np.empty((3, 4), np.float32)
    best = np.empty(ROWS, np.float32)
    for start in range(first, last, ROWS):
        stop = min(start + ROWS, last)
        best[:] = np.inf
        labels[start:stop] = 0
        for low in range(0, k, CENTROIDS):
            high = min(low + CENTROIDS, k)
            for i in range(start, stop, 4):
                i1, i2, i3 = min(i + 1, stop - 1), min(i + 2, stop - 1), min(i + 3, stop - 1)
                for j in range(low, high, 3):
                    dots(x, i, i1, i2, i3, centroids, j, min(j + 1, high - 1), min(j + 2, high - 1), tile)
                    for b in range(min(3, high - j)):
                        for a in range(min(4, stop - i)):
                            score = half[j + b] - tile[b, a]
                            if score < best[i + a - start]:
                                best[i + a - start] = score
                                labels[i + a] = j + b


@kernel
def squared_gap(a: Any, b: Any) -> Any:
    """Return |a - b|^2 of two (d,) float32 points, without cancellation."""
    total = np.float32(0)
    for j in range(a.shape[0]):
        gap = a[j] - b[j]
        total += gap * gap
    return total


@kernel
def squared_distances(x: Any, first: int, last: int, centroids: Any, labels: Any, out: Any) -> None:
    """Write |x_i - centroid of its label|^2 of rows first..last to out (n,) float32, without cancellation."""
    for i in range(first, last):
        out[i] = squared_gap(x[i], centroids[labels[i]])


@kernel
def lower_to(x: Any, first: int, last: int, seed: Any, out: Any) -> None:
    """Lower out (n,) float32 of rows first..last to |x_i - seed|^2 where that is less."""
    for i in range(first, last):
        total = squared_gap(x[i], seed)
        if total < out[i]:
            out[i] = total


@kernel
def group_rows(labels: Any, k: int, order: Any, starts: Any) -> None:
    """Counting sort: rows of label g are order[starts[g]:starts[g + 1]], ascending.

    labels: (n,) int32 in 0..k; order: (n,) int64 out; starts: (k + 1,) int64 out.
    """
    starts[:] = 0
    for i in range(labels.shape[0]):
        starts[labels[i] + 1] += 1
    for g in range(k):
        starts[g + 1] += starts[g]
    cursor = starts[:k].copy()
    for i in range(labels.shape[0]):
        g = labels[i]
        order[cursor[g]] = i
        cursor[g] += 1


@kernel
def means(x: Any, weights: Any, order: Any, starts: Any, which: Any, first: int, last: int, centroids: Any) -> None:
    """Write the weighted mean of the rows of clusters which[first..last] to centroids; an empty cluster keeps its own.

    Sums are float64. weights: (n,) float32, or (0,) for all equal.
    """
    d = x.shape[1]
    total = np.empty(d, np.float64)
    for place in range(first, last):
        g = which[place]
        if starts[g] == starts[g + 1]:
            continue
        total[:] = 0.0
        mass = 0.0
        for at in range(starts[g], starts[g + 1]):
            i = order[at]
            row = x[i]
            if weights.shape[0]:
                weight = np.float64(weights[i])
                mass += weight
                for j in range(d):
                    total[j] += weight * row[j]
            else:
                mass += 1.0
                for j in range(d):
                    total[j] += row[j]
        centre = centroids[g]
        if mass > 0.0:
            for j in range(d):
                centre[j] = total[j] / mass


@kernel
def half_norms(centroids: Any, out: Any) -> None:
    """Write |c|^2 / 2 of every centroid to out (k,) float32."""
    for g in range(centroids.shape[0]):
        total = np.float32(0)
        for j in range(centroids.shape[1]):
            total += centroids[g, j] * centroids[g, j]
        out[g] = total * np.float32(0.5)
