"""The compiled inner loops of exact k-means: pure functions on arrays, no Python objects, no threads of their own.

A squared distance is |x|^2 - 2 x.c + |c|^2, so the nearest centroid has the least |c|^2 / 2 - x.c; rows are centred and
scaled beforehand (`prepare.PreparedRows`), which keeps float32 exact enough. Every kernel releases the interpreter
lock, so callers run parts in threads.
"""

from collections.abc import Callable
from typing import NamedTuple, TypeVar

import numba
import numpy as np

from evenkeel.infra.dtypes import Float32Array, Int32Array, Int64Array

Function = TypeVar("Function", bound=Callable[..., object])
FAST_MATH = {"reassoc", "contract", "nsz", "arcp"}
ROW_TILE = 64
CENTROID_TILE = 48


class InvertedLists(NamedTuple):
    """Items by list: those of list g are members[starts[g]:starts[g + 1]], ascending. Rows by cluster are such lists.

    members: (n,) int64. starts: (lists + 1,) int64.
    """

    members: Int64Array
    starts: Int64Array


class Codebook(NamedTuple):
    """Centroids, (k, d) float32, and half their squared norms, (k,) float32."""

    centroids: Float32Array
    half_norms: Float32Array


class WeightedRows(NamedTuple):
    """Rows, (n, d) float32, and their weights, (n,) float32, or (0,) where all weigh the same."""

    x: Float32Array
    weights: Float32Array


def kernel(function: Function) -> Function:
    """Compile a loop on first use, and keep the machine code on disk."""
    compiled: Function = numba.njit(nogil=True, fastmath=FAST_MATH, error_model="numpy", cache=True)(function)
    return compiled


def inlined(function: Function) -> Function:
    """Compile a loop as part of every kernel that calls it."""
    compiled: Function = numba.njit(fastmath=FAST_MATH, error_model="numpy", inline="always")(function)
    return compiled


@inlined
def dots(
    x0: Float32Array,
    x1: Float32Array,
    x2: Float32Array,
    x3: Float32Array,
    y0: Float32Array,
    y1: Float32Array,
    y2: Float32Array,
    out: Float32Array,
) -> None:
    """Write the products of four rows and three centroids, (d,) each, to out (3, 4): what everything here is made of.

    The twelve sums stay in vector registers, because a row is used up before the next is read: AVX2 has 16 registers.
    Vector instructions written by hand, and four rows read at once, are slower (measured on AVX2 and AVX-512).
    """
    a0 = a1 = a2 = a3 = b0 = b1 = b2 = b3 = d0 = d1 = d2 = d3 = np.float32(0)
    for j in range(x0.shape[0]):
        u, v, w = y0[j], y1[j], y2[j]
        value = x0[j]
        a0 += value * u
        b0 += value * v
        d0 += value * w
        value = x1[j]
        a1 += value * u
        b1 += value * v
        d1 += value * w
        value = x2[j]
        a2 += value * u
        b2 += value * v
        d2 += value * w
        value = x3[j]
        a3 += value * u
        b3 += value * v
        d3 += value * w
    out[0, 0], out[0, 1], out[0, 2], out[0, 3] = a0, a1, a2, a3
    out[1, 0], out[1, 1], out[1, 2], out[1, 3] = b0, b1, b2, b3
    out[2, 0], out[2, 1], out[2, 2], out[2, 3] = d0, d1, d2, d3


@kernel
def nearest_of_all(x: Float32Array, first: int, last: int, codebook: Codebook, labels: Int32Array) -> None:
    """Write the nearest centroid of rows first..last of x, (n, d), to labels (n,); ties go to the lowest index."""
    centroids, half = codebook
    k = centroids.shape[0]
    tile = np.empty((3, 4), np.float32)
    best = np.empty(ROW_TILE, np.float32)
    for start in range(first, last, ROW_TILE):
        stop = min(start + ROW_TILE, last)
        best[:] = np.inf
        labels[start:stop] = 0
        for low in range(0, k, CENTROID_TILE):
            high = min(low + CENTROID_TILE, k)
            for i in range(start, stop, 4):
                i1, i2, i3 = min(i + 1, stop - 1), min(i + 2, stop - 1), min(i + 3, stop - 1)
                for j in range(low, high, 3):
                    dots(
                        x[i],
                        x[i1],
                        x[i2],
                        x[i3],
                        centroids[j],
                        centroids[min(j + 1, high - 1)],
                        centroids[min(j + 2, high - 1)],
                        tile,
                    )
                    for b in range(min(3, high - j)):
                        for a in range(min(4, stop - i)):
                            score = half[j + b] - tile[b, a]
                            if score < best[i + a - start]:
                                best[i + a - start] = score
                                labels[i + a] = j + b


@kernel
def squared_gap(a: Float32Array, b: Float32Array) -> np.float32:
    """Return |a - b|^2 of two (d,) points, without cancellation."""
    total = np.float32(0)
    for j in range(a.shape[0]):
        gap = a[j] - b[j]
        total += gap * gap
    return total


@kernel
def squared_distances(
    x: Float32Array, first: int, last: int, centroids: Float32Array, labels: Int32Array, out: Float32Array
) -> None:
    """Write |x_i - centroid of its label|^2 of rows first..last to out (n,), without cancellation."""
    for i in range(first, last):
        out[i] = squared_gap(x[i], centroids[labels[i]])


@kernel
def lower_to(x: Float32Array, first: int, last: int, seed: Float32Array, out: Float32Array) -> None:
    """Lower out (n,) of rows first..last to |x_i - seed|^2 where that is less."""
    for i in range(first, last):
        total = squared_gap(x[i], seed)
        if total < out[i]:
            out[i] = total


@kernel
def invert(labels: Int32Array, lists: InvertedLists) -> None:
    """Sort items by their label, (n,) in 0..lists, by counting: fills `lists`."""
    order, starts = lists
    k = starts.shape[0] - 1
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
def means(
    rows: WeightedRows, clusters: InvertedLists, which: Int64Array, first: int, last: int, centroids: Float32Array
) -> None:
    """Write the weighted mean of the rows of clusters which[first..last] to centroids; an empty cluster keeps its own.

    Sums are float64.
    """
    x, weights = rows
    order, starts = clusters
    d = x.shape[1]
    sums = np.empty(d, np.float64)
    for place in range(first, last):
        g = which[place]
        if starts[g] == starts[g + 1]:
            continue
        sums[:] = 0.0
        total_weight = 0.0
        for at in range(starts[g], starts[g + 1]):
            i = order[at]
            row = x[i]
            if weights.shape[0]:
                weight = np.float64(weights[i])
                total_weight += weight
                for j in range(d):
                    sums[j] += weight * row[j]
            else:
                total_weight += 1.0
                for j in range(d):
                    sums[j] += row[j]
        centroid = centroids[g]
        if total_weight > 0.0:
            for j in range(d):
                centroid[j] = sums[j] / total_weight


@kernel
def half_norms(centroids: Float32Array, out: Float32Array) -> None:
    """Write |c|^2 / 2 of every centroid to out (k,)."""
    for g in range(centroids.shape[0]):
        total = np.float32(0)
        for j in range(centroids.shape[1]):
            total += centroids[g, j] * centroids[g, j]
        out[g] = total * np.float32(0.5)
