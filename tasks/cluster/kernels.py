"""The compiled inner loops of k-means: pure functions on arrays, no Python objects, no threads of their own.

A squared distance is |x|^2 - 2 x.c + |c|^2, so the nearest centroid has the least |c|^2 / 2 - x.c; rows are centred and
scaled beforehand (`prepare.Rows`), which keeps float32 exact enough. Products are computed in tiles of 4 rows by 4
centroids that live in registers. Every kernel releases the interpreter lock, so callers run parts in threads.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import numba
import numpy as np

Function = TypeVar("Function", bound=Callable[..., Any])
FAST = {"reassoc", "contract", "nsz", "arcp"}
ROWS = 64
CENTROIDS = 64


def kernel(function: Function) -> Function:
    """Compile a loop on first use, and keep the machine code on disk."""
    compiled: Function = numba.njit(nogil=True, fastmath=FAST, error_model="numpy", cache=True)(function)
    return compiled


@kernel
def dots(x0: Any, x1: Any, x2: Any, x3: Any, c0: Any, c1: Any, c2: Any, c3: Any, out: Any) -> None:
    """Write the 16 dot products of 4 rows and 4 centroids, (d,) float32 each, to out (4, 4)."""
    zero = np.float32(0)
    a00 = a01 = a02 = a03 = a10 = a11 = a12 = a13 = zero
    a20 = a21 = a22 = a23 = a30 = a31 = a32 = a33 = zero
    for j in range(x0.shape[0]):
        u0, u1, u2, u3 = x0[j], x1[j], x2[j], x3[j]
        v = c0[j]
        a00 += u0 * v
        a10 += u1 * v
        a20 += u2 * v
        a30 += u3 * v
        v = c1[j]
        a01 += u0 * v
        a11 += u1 * v
        a21 += u2 * v
        a31 += u3 * v
        v = c2[j]
        a02 += u0 * v
        a12 += u1 * v
        a22 += u2 * v
        a32 += u3 * v
        v = c3[j]
        a03 += u0 * v
        a13 += u1 * v
        a23 += u2 * v
        a33 += u3 * v
    out[0, 0], out[0, 1], out[0, 2], out[0, 3] = a00, a01, a02, a03
    out[1, 0], out[1, 1], out[1, 2], out[1, 3] = a10, a11, a12, a13
    out[2, 0], out[2, 1], out[2, 2], out[2, 3] = a20, a21, a22, a23
    out[3, 0], out[3, 1], out[3, 2], out[3, 3] = a30, a31, a32, a33


@kernel
def nearest_of_all(x: Any, first: int, last: int, centroids: Any, half: Any, labels: Any) -> None:
    """Write the nearest centroid of rows first..last to labels (n,) int32; ties go to the lowest index.

    x: (n, d) float32; centroids: (k, d) float32; half: (k,) float32, half their squared norms.
    """
    k = centroids.shape[0]
    tile = np.empty((4, 4), np.float32)
    best = np.empty(ROWS, np.float32)
    for start in range(first, last, ROWS):
        stop = min(start + ROWS, last)
        best[:] = np.inf
        labels[start:stop] = 0
        for low in range(0, k, CENTROIDS):
            high = min(low + CENTROIDS, k)
            for i in range(start, stop, 4):
                i1, i2, i3 = min(i + 1, stop - 1), min(i + 2, stop - 1), min(i + 3, stop - 1)
                for j in range(low, high, 4):
                    j1, j2, j3 = min(j + 1, high - 1), min(j + 2, high - 1), min(j + 3, high - 1)
                    dots(x[i], x[i1], x[i2], x[i3], centroids[j], centroids[j1], centroids[j2], centroids[j3], tile)
                    for a in range(min(4, stop - i)):
                        for b in range(min(4, high - j)):
                            score = half[j + b] - tile[a, b]
                            if score < best[i + a - start]:
                                best[i + a - start] = score
                                labels[i + a] = j + b


@kernel
def squared_distances(x: Any, first: int, last: int, centroids: Any, labels: Any, out: Any) -> None:
    """Write |x_i - centroid of its label|^2 of rows first..last to out (n,) float32, without cancellation."""
    d = x.shape[1]
    for i in range(first, last):
        row, centre = x[i], centroids[labels[i]]
        total = np.float32(0)
        for j in range(d):
            gap = row[j] - centre[j]
            total += gap * gap
        out[i] = total


@kernel
def lower_to(x: Any, first: int, last: int, seed: Any, out: Any) -> None:
    """Lower out (n,) float32 of rows first..last to |x_i - seed|^2 where that is less."""
    d = x.shape[1]
    for i in range(first, last):
        row = x[i]
        total = np.float32(0)
        for j in range(d):
            gap = row[j] - seed[j]
            total += gap * gap
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
def means(x: Any, weights: Any, order: Any, starts: Any, first: int, last: int, centroids: Any) -> None:
    """Write the weighted mean of the rows of clusters first..last to centroids; an empty cluster keeps its own.

    Sums are float64. weights: (n,) float32, or (0,) for all equal.
    """
    d = x.shape[1]
    total = np.empty(d, np.float64)
    for g in range(first, last):
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
