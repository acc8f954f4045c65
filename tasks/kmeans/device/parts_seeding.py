"""First centroids for rows on several devices: those that `seeding.py` draws on one."""

import numpy as np

from evenkeel.infra.dtypes import Float32Array, Float64Array, Int64Array
from evenkeel.tasks.kmeans.device.parts import Parted
from evenkeel.tasks.kmeans.device.seeding import seeds_of, turns_of
from evenkeel.tasks.kmeans.device.totals import scale_for


def seed_random(parts: Parted, k: int, rng: np.random.Generator) -> Float32Array:
    """Return k different rows, (k, d); fewer where there are fewer."""
    return parts.gather(np.sort(rng.choice(len(parts), size=min(k, len(parts)), replace=False)))


def seed_plus_plus(parts: Parted, k: int, rng: np.random.Generator) -> Float32Array:
    """Return k-means++ seeds, (<= k, d): k passes over the rows."""
    rows = np.array([len(parts)])
    return _seed(parts, np.minimum(rows, k), rows, False, rng)


def seed_grouped(parts: Parted, k: int, rng: np.random.Generator) -> Float32Array:
    """Return first centroids by k-means++ inside every group of rows on its own, (<= k, d)."""
    peak = max(parts.each("coarse_error"))
    scale = scale_for(peak, len(parts)) if peak > 0 else 1.0
    totals, rows_of = parts.sum("coarse_totals", scale)
    counts = seeds_of(rows_of.astype(np.float64), totals / scale, k, rows_of)
    return _seed(parts, counts, rows_of, True, rng)


def _seed(
    parts: Parted, counts: Int64Array, rows_of: Int64Array, grouped: bool, rng: np.random.Generator
) -> Float32Array:
    """Draw `counts` seeds of every group, as `seeding._seed` does. rows_of: (g,). grouped: in the groups of rows,
    else in one of all.

    A draw goes by whole numbers, on a scale that follows from the group's largest distance and its rows: places tell
    theirs, and the sums that these make, and the one on which the draw falls sends the row.
    """
    renamed, place, spans = turns_of(counts)
    uniform, drawn = rng.random(len(place))[place], np.zeros(len(place), np.bool_)
    sizes = np.empty(len(counts), np.int64)
    sizes[renamed] = rows_of
    parts.each("open_seeding", grouped, renamed)
    seeds: Float32Array | None = None
    for first, last in spans:
        groups = last - first
        peaks = np.max(parts.each("seed_peaks", groups), axis=0)
        scales = _scales(peaks, sizes[:groups])
        totals: Int64Array = np.stack(parts.each("seed_totals", scales))
        aims = (uniform[first:last] * totals.sum(axis=0).astype(np.float64)).astype(np.int64)
        aims = np.minimum(aims, totals.sum(axis=0) - 1)
        before = np.cumsum(totals, axis=0) - totals
        mine = (aims >= before) & (aims < before + totals)
        own = iter(np.where(mine, aims - before, -1))
        found = iter(parts.each("seed_draw", scales, own=[(next(own),) if size else None for size in parts.sizes]))
        points: Float32Array | None = None
        for here in mine:
            rows = next(found)
            points = np.zeros((groups, rows.shape[1]), np.float32) if points is None else points
            points[here] = rows
        assert points is not None
        seeds = np.empty((len(place), points.shape[1]), np.float32) if seeds is None else seeds
        seeds[place[first:last]] = points
        drawn[place[first:last]] = mine.any(axis=0)
        if last < len(place):
            parts.each("seed_lower", points, np.where(mine.any(axis=0), 0, -1))
    parts.each("close_seeding")
    assert seeds is not None
    return seeds[drawn]


def _scales(peaks: Float32Array, sizes: Int64Array) -> Float64Array:
    """Return how many whole ones make 1 in each group, 0 where all its rows lie on seeds."""
    return np.array(
        [scale_for(float(peak), int(size)) if peak > 0 else 0.0 for peak, size in zip(peaks, sizes, strict=True)]
    )
