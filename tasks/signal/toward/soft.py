"""Rows that belong to several clusters at once, each by its distance: a small target then speaks for their neighbours.

A row is shared out over the nearest few of the clusters around its own, as a mixture of Gaussians of one width would
(the soft assignment of expectation maximisation: Dempster, Laird and Rubin 1977). Target and pool are shared out alike,
so that their ratio stays one of two densities seen through one window. Its width is the one under which rows of the
target, each left out in turn, are the likeliest (as KLIEP chooses its own: Sugiyama et al. 2008).
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from evenkeel.infra.dtypes import Float32Array, Float64Array, Int32Array, Int64Array
from evenkeel.tasks.kmeans.kernels import kernel

AROUND, NEAREST = 128, 8
WIDTHS = (0.025, 0.05, 0.1, 0.2, 0.4)
"""The variance of the window, over the mean squared distance of rows from their centroids."""
ROWS_PER_CHUNK, CENTROIDS_PER_CHUNK = 8192, 1024


class Near(NamedTuple):
    """The clusters that rows are shared out over. cluster: (n, q) int32. apart: (n, q) float32, squared distances."""

    cluster: Int32Array
    apart: Float32Array

    def shares(self, variance: float) -> Float64Array:
        """Return the shares of every row in its clusters, (n, q) float64, each row's summing to 1."""
        apart = self.apart.astype(np.float64)
        found: Float64Array = np.exp((apart.min(axis=1, keepdims=True) - apart) / (2 * variance))
        found /= found.sum(axis=1, keepdims=True)
        return found

    def head(self, rows: int) -> "Near":
        """Return those of the first rows."""
        return Near(self.cluster[:rows], self.apart[:rows])

    def counts(self, variance: float, clusters: int) -> Float64Array:
        """Return the rows of every cluster, each row in shares, (clusters,) float64."""
        weights = self.shares(variance).ravel()
        found: Float64Array = np.bincount(self.cluster.ravel(), weights, clusters).astype(np.float64)
        return found


def clusters_around(centroids: Float32Array) -> Int32Array:
    """Return the 128 clusters nearest to each, or all of fewer, itself among them, (k, q) int32."""
    c = centroids.astype(np.float32)
    half, most = (c**2).sum(axis=1) / 2, min(AROUND, len(c))
    found = np.empty((len(c), most), np.int32)
    for start in range(0, len(c), CENTROIDS_PER_CHUNK):
        scores = half - c[start : start + CENTROIDS_PER_CHUNK] @ c.T
        found[start : start + CENTROIDS_PER_CHUNK] = np.argpartition(scores, most - 1, axis=1)[:, :most]
    return found


def nearest_around(x: Float32Array, own: Int32Array, centroids: Float32Array, around: Int32Array) -> Near:
    """Return the eight nearest of the clusters around each row's own. x: (n, d). own: (n,), no row without one."""
    size = min(NEAREST, around.shape[1])
    found = Near(np.empty((len(x), size), np.int32), np.empty((len(x), size), np.float32))
    for start in range(0, len(x), ROWS_PER_CHUNK):
        part = slice(start, start + ROWS_PER_CHUNK)
        rows = np.ascontiguousarray(x[part], np.float32)
        _nearest(rows, own[part], centroids, around, found.cluster[part], found.apart[part])
    return found


def likeliest(near: Near, wanted: Float64Array, held: Float64Array, variances: Float64Array, prior: float) -> int:
    """Return the number of the variance under which rows of the target, each left out of it, are the likeliest.

    wanted, held: rows of target and pool in every cluster under each variance, (v, clusters). prior: as for the ratios.
    """
    scores = []
    for number, variance in enumerate(variances):
        shares = near.shares(float(variance))
        rows, pool = held[number][near.cluster], held[number].sum()
        others = np.maximum(wanted[number][near.cluster] - shares, 0.0)
        density = (shares * (others / np.maximum(rows, 1e-12) + prior / pool)).sum(axis=1)
        scores.append(float(np.log(np.maximum(density, 1e-300)).mean()))
    return int(np.argmax(scores))


def ratios(wanted: Float64Array, held: Float64Array, prior: float) -> Float64Array:
    """Return the share of the target over that of the pool of every cluster, (clusters,) float64; 1 for an empty one.

    wanted, held: rows of target and pool in each. prior: rows spread like the pool that are added to the target's.
    """
    share = held / max(held.sum(), 1e-300)
    smoothed = (wanted + prior * share) / (wanted.sum() + prior)
    found: Float64Array = np.divide(smoothed, share, out=np.ones(len(share)), where=share > 0)
    return found


def chunks_of(own: Int64Array | Int32Array) -> Iterator[Int64Array]:
    """Yield the numbers of the rows that have a cluster, some at a time, those of one cluster together."""
    there = np.flatnonzero(own >= 0)
    for start in range(0, len(there), ROWS_PER_CHUNK):
        part = there[start : start + ROWS_PER_CHUNK]
        yield part[np.argsort(own[part], kind="stable")]


@kernel
def _nearest(
    x: Float32Array,
    own: Int32Array,
    centroids: Float32Array,
    around: Int32Array,
    cluster: Int32Array,
    apart: Float32Array,
) -> None:
    """Write the nearest clusters of every row and their squared distances, the nearest first."""
    most = cluster.shape[1]
    for i in range(x.shape[0]):
        for place in range(most):
            apart[i, place] = np.inf
            cluster[i, place] = own[i]
        for t in range(around.shape[1]):
            c = around[own[i], t]
            total = np.float32(0)
            for j in range(x.shape[1]):
                step = x[i, j] - centroids[c, j]
                total += step * step
            if total < apart[i, most - 1]:
                place = most - 1
                while place > 0 and apart[i, place - 1] > total:
                    apart[i, place] = apart[i, place - 1]
                    cluster[i, place] = cluster[i, place - 1]
                    place -= 1
                apart[i, place] = total
                cluster[i, place] = c
