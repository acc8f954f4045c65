"""First centroids on a device: k-means++ inside every group, all groups at once."""

from itertools import pairwise
from typing import NamedTuple

import numpy as np

from evenkeel.infra.dtypes import Float32Array, Float64Array, Int32Array, Int64Array
from evenkeel.tasks.kmeans.device.rows import DeviceRows
from evenkeel.tasks.kmeans.device.totals import segment_totals, segments_of, weighted
from evenkeel.tasks.kmeans.seeding import apportion


def seed_random(rows: DeviceRows, k: int, rng: np.random.Generator) -> Float32Array:
    """Return k different rows of weight above zero, (k, d); fewer where there are fewer."""
    heavy = np.arange(len(rows))
    if rows.weights is not None:
        heavy = rows.arrays.get(rows.arrays.xp.flatnonzero(rows.weights))
    return rows.gather(rows.arrays.put(np.sort(rng.choice(heavy, size=min(k, len(heavy)), replace=False))))


def seed_plus_plus(rows: DeviceRows, k: int, rng: np.random.Generator) -> Float32Array:
    """Return k-means++ seeds, (<= k, d): k passes over the rows."""
    return _seed(rows, rows.arrays.xp.zeros(len(rows), np.int32), np.array([min(k, len(rows))]), rng)


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
    return _seed(rows, groups, seeds_of(weight_of, error_of, k, rows_of), rng)


def seeds_of(weight_of: Float64Array, error_of: Float64Array, k: int, rows_of: Int64Array) -> Int64Array:
    """Return how many seeds each of g groups gets, given its weight, error and rows, (g,) each."""
    share = weight_of / weight_of.sum() + (error_of / error_of.sum() if error_of.any() else 0)
    return apportion(share, k, rows_of)


class Turns(NamedTuple):
    """In which order seeds are drawn: a first one of every group, then a second of those that get one, and so on.

    renamed: (g,) int32, the groups by how many seeds they get, so that those which get another are always the first
    ones. place: (k,) int64, where a draw's seed stands among those of all groups. spans: which draws a turn has.
    """

    renamed: Int32Array
    place: Int64Array
    spans: list[tuple[int, int]]


def turns_of(counts: Int64Array) -> Turns:
    """Return the turns of groups that get `counts` seeds, (g,)."""
    by_count = np.argsort(-counts, kind="stable")
    turns = np.bincount(counts)[::-1].cumsum()[::-1][1:]  # how many groups get a first seed, a second, ...
    asked = np.concatenate([by_count[:many] for many in turns])
    turn_of = np.repeat(np.arange(len(turns)), turns)
    place = (np.cumsum(counts) - counts)[asked] + turn_of
    renamed = np.empty(len(counts), np.int32)
    renamed[by_count] = np.arange(len(counts), dtype=np.int32)
    ends = np.cumsum(turns).tolist()
    return Turns(renamed, place, list(pairwise([0, *ends])))


def _seed(rows: DeviceRows, groups: Int32Array, counts: Int64Array, rng: np.random.Generator) -> Float32Array:
    """Draw `counts` seeds of every group, the n-th of all groups in one pass, in proportion to weight x D^2.

    groups: (n,). A group whose rows all lie on seeds gets no more. Seeds are in the order of their groups.
    """
    arrays, xp = rows.arrays, rows.arrays.xp
    renamed, place, spans = turns_of(counts)
    uniform = arrays.put(rng.random(len(place))[place])
    here = arrays.put(renamed)[groups]
    segments = segments_of(arrays, here, len(counts))
    squared, chosen = xp.full(len(rows), np.inf, np.float32), xp.full(len(place), -1, np.int64)
    for first, last in spans:
        mine = chosen[first:last]
        arrays.kernels.draw_seeds(squared, rows.weights, segments.order, segments.starts, uniform[first:last], mine)
        points = rows.gather(xp.maximum(mine, 0))
        if last < len(place):
            for low, high, x in rows.spans():
                arrays.kernels.lower_to(x, points, mine, here[low:high], squared[low:high])
    by_group = chosen[arrays.put(np.argsort(place, kind="stable"))]
    return rows.gather(by_group[by_group >= 0])
