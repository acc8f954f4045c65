"""Bound the rows of clusters by an offset for each centroid: a row joins the least of squared distance + offset."""

from collections import deque

import numpy as np

from evenkeel.infra.dtypes import Float32Array, Float64Array, Int32Array, Int64Array

CHUNK = 4096
CANDIDATES, ALL_PAIRS = 64, 1 << 25
FIRST_BID, LARGEST_BID, GROWTH = 1e-4, 0.005, 1.05
BIDS_EACH = 400


def assign_with_offsets(x: Float32Array, centroids: Float32Array, offsets: Float64Array) -> Int32Array:
    """Return the centroid of every row, (n,) int32: the least squared distance + offset; ties to the lowest index.

    x: (n, d). centroids: (k, d). offsets: (k,), in squared units of x. Nothing of n x k is held.
    """
    labels = np.empty(len(x), np.int32)
    for first in range(0, len(x), CHUNK):
        part = slice(first, first + CHUNK)
        labels[part] = (squared_gaps(x[part], centroids) + offsets).argmin(axis=1)
    return labels


def capacity_offsets(x: Float32Array, centroids: Float32Array, max_rows: int) -> Float64Array:
    """Return the offsets, (k,) >= 0, with which no centroid gets more than `max_rows` of the rows x, (n, d).

    An auction (Bertsekas 1988): one centroid after another that has too many rows raises its offset until just enough
    of them, those that lose least, are better off at their next one, and a little more, so that full neighbours do not
    outbid each other for ever; one row always stays. Beyond 33 million pairs, rows look at the 64 centroids nearest to
    them. k x max_rows must be n at least; equal rows stay together.
    """
    k = len(centroids)
    ids, gaps = _nearest(x, centroids, k if len(x) * k <= ALL_PAIRS else min(k, CANDIDATES))
    labels = ids[np.arange(len(x)), gaps.argmin(axis=1)]
    members = np.split(np.argsort(labels, kind="stable"), np.cumsum(np.bincount(labels, minlength=k))[:-1])
    mean = float(gaps.mean())
    offsets, bids = np.zeros(k), np.full(k, FIRST_BID * mean)
    waiting = deque(np.flatnonzero([len(rows) > max_rows for rows in members]).tolist() if k > 1 else [])
    for _ in range(BIDS_EACH * k):
        if not waiting:
            break
        g = waiting.popleft()
        rows = members[g]
        if len(rows) <= max_rows:
            continue
        costs = gaps[rows] + offsets[ids[rows]]
        costs[ids[rows] == g] = np.inf
        beyond = costs.min(axis=1) - (gaps[rows][ids[rows] == g] + offsets[g])
        raised = float(np.partition(beyond, len(rows) - max_rows - 1)[len(rows) - max_rows - 1]) + bids[g]
        raised = min(raised, float(beyond.max()))
        offsets[g] += raised
        bids[g] = min(bids[g] * GROWTH, LARGEST_BID * mean)
        leaving = beyond < raised
        members[g] = rows[~leaving]
        if leaving.any() and len(members[g]) > max_rows:
            waiting.append(g)
        found = ids[rows[leaving], costs[leaving].argmin(axis=1)]
        for h in np.unique(found).tolist():
            members[h] = np.concatenate([members[h], rows[leaving][found == h]])
            if len(members[h]) > max_rows:
                waiting.append(h)
    return offsets


def squared_gaps(x: Float32Array, centroids: Float32Array) -> Float64Array:
    """Return the squared distance of every row to every centroid, (n, k) float64."""
    centre = centroids.mean(axis=0, dtype=np.float64)
    rows, points = x - centre, centroids - centre
    gaps: Float64Array = (rows**2).sum(axis=1)[:, None] - 2 * rows @ points.T + (points**2).sum(axis=1)
    return np.maximum(gaps, 0.0)


def _nearest(x: Float32Array, centroids: Float32Array, count: int) -> tuple[Int64Array, Float64Array]:
    """Return the `count` centroids nearest to each row, ascending by number, and the squared distances, (n, count)."""
    ids, gaps = np.empty((len(x), count), np.int64), np.empty((len(x), count))
    for first in range(0, len(x), CHUNK):
        part = slice(first, first + CHUNK)
        found = squared_gaps(x[part], centroids)
        ids[part] = np.sort(np.argpartition(found, count - 1, axis=1)[:, :count], axis=1)
        gaps[part] = np.take_along_axis(found, ids[part], axis=1)
    return ids, gaps
