"""First centroids on a device: k-means++ inside every group, all groups at once."""

import numpy as np

from evenkeel.infra.dtypes import Float32Array, Int32Array
from evenkeel.tasks.kmeans.device.rows import DeviceRows
from evenkeel.tasks.kmeans.device.totals import Segments, running, segment_totals, segments_of, weighted, whole
from evenkeel.tasks.kmeans.seeding import apportion


def seed_random(rows: DeviceRows, k: int, rng: np.random.Generator) -> Float32Array:
    """Return k different rows of weight above zero, (k, d); fewer where there are fewer."""
    heavy = np.arange(len(rows))
    if rows.weights is not None:
        heavy = rows.arrays.get(rows.arrays.xp.flatnonzero(rows.weights))
    return rows.gather(rows.arrays.put(np.sort(rng.choice(heavy, size=min(k, len(heavy)), replace=False))))


def seed_plus_plus(rows: DeviceRows, k: int, rng: np.random.Generator) -> Float32Array:
    """Return k-means++ seeds, (<= k, d): k passes over the rows."""
    arrays = rows.arrays
    groups = arrays.xp.zeros(len(rows), np.int32)
    counts = np.array([min(k, len(rows))])
    return _seed(rows, groups, segments_of(arrays, groups, 1), counts, rng)


def seed_grouped(
    rows: DeviceRows, coarse: Float32Array, groups: Int32Array, k: int, rng: np.random.Generator
) -> Float32Array:
    """Return first centroids by k-means++ inside every group on its own, (<= k, d).

    coarse, groups: of `grouped.Groups`. The number of seeds of a group follows half its share of the rows and half its
    share of the error; it never exceeds the group's rows.
    """
    arrays, size = rows.arrays, len(coarse)
    segments = segments_of(arrays, groups, size)
    error = weighted(rows.squared(coarse, groups), rows.weights)
    error_of = arrays.get(segment_totals(arrays, error, segments))
    rows_of = np.diff(arrays.get(segments.starts))
    weight_of = rows_of.astype(np.float64)
    if rows.weights is not None:
        weight_of = arrays.get(segment_totals(arrays, rows.weights, segments))
    share = weight_of / weight_of.sum() + (error_of / error_of.sum() if error_of.any() else 0)
    return _seed(rows, groups, segments, apportion(share, k, rows_of), rng)


def _seed(
    rows: DeviceRows, groups: Int32Array, segments: Segments, counts: np.ndarray, rng: np.random.Generator
) -> Float32Array:
    """Draw `counts` seeds of every group, the n-th of all groups in one pass, in proportion to weight x D^2.

    A group whose rows all lie on seeds gets no more. Seeds are in the order of their groups.
    """
    arrays = rows.arrays
    xp, size = arrays.xp, len(counts)
    squared = xp.full(len(rows), np.inf, np.float32)
    sure = xp.ones(len(rows), np.float32) if rows.weights is None else rows.weights
    first, last = segments.starts[:-1], segments.starts[1:]
    place, draws = np.concatenate(([0], np.cumsum(counts))), rng.random(int(counts.sum()))
    seeds = xp.full(int(place[-1]), -1, np.int64)
    for turn in range(int(counts.max())):
        asked = np.flatnonzero(counts > turn)
        found = whole(arrays, sure if turn == 0 else xp.where(xp.isfinite(squared), squared, 0) * sure)
        if found is None:
            break
        prefix = running(arrays, found.numbers[segments.order])
        here = arrays.put(asked)
        low, high = prefix[first[here]], prefix[last[here]]
        aims = low + (arrays.put(draws[place[asked] + turn]) * (high - low).astype(xp.float64)).astype(xp.int64)
        at = xp.searchsorted(prefix[1:], xp.minimum(aims, high - 1), side="right")
        chosen = xp.where(high > low, segments.order[xp.minimum(at, len(rows) - 1)], -1)
        seeds[arrays.put(place[asked] + turn)] = chosen
        latest = xp.full(size, -1, np.int32)
        latest[here] = xp.where(chosen >= 0, xp.arange(len(asked), dtype=np.int32), -1)
        points = rows.gather(xp.maximum(chosen, 0))
        squared = xp.minimum(squared, rows.squared(points, latest[groups]))
    return rows.gather(seeds[seeds >= 0])
