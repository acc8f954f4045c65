"""Centroids that are put elsewhere, for rows on several devices: as `relocation.py` and `search.py` do on one."""

import numpy as np

from evenkeel.infra.dtypes import Float32Array, Float64Array, Int32Array, Int64Array
from evenkeel.tasks.kmeans.device.parts import Parted, Spread
from evenkeel.tasks.kmeans.device.relocation import choose, prices_of
from evenkeel.tasks.kmeans.device.totals import scale_for
from evenkeel.tasks.kmeans.lloyd import choose_fillers
from evenkeel.tasks.kmeans.relocation import SHARE


def relocate(
    parts: Parted, centroids: Float32Array, labels: Spread, squared: Spread, rng: np.random.Generator
) -> Int64Array:
    """Move up to 40 % of the centroids to rows drawn by squared distance, in place; return which moved."""
    k = len(centroids)
    if not squared.peak > 0:
        return np.empty(0, np.int64)
    picks = _draw(parts, labels, squared, rng.random(max(1, int(2 * SHARE * k))))
    points, clusters = parts.gather(picks[0]), picks[1]
    target_of = np.full(k, -1, np.int32)
    target_of[clusters] = np.arange(len(points), dtype=np.int32)
    peak = max(parts.each("aim", labels.number, squared.number, target_of, points))
    scale = scale_for(peak, len(parts)) if peak > 0 else 1.0
    gains = parts.sum("gains", labels.number, k, scale)[0] / scale
    prices = PartedPrices(parts, labels, k)
    goes_to, gone = choose(prices, gains[clusters], clusters)
    if len(gone):
        left = parts.each("relocate", labels.number, squared.number, goes_to, gone, k)
        moved_to = np.flatnonzero(goes_to >= 0)
        centroids[goes_to[moved_to]] = points[moved_to]
        lost = iter(left)
        own = [(labels.number,) if size and next(lost) else None for size in parts.sizes]
        if any(own):
            parts.each("find_lost", centroids, own=own)
    return np.sort(gone)


def _draw(parts: Parted, labels: Spread, squared: Spread, uniform: Float64Array) -> tuple[Int64Array, Int32Array]:
    """Draw rows by squared distance, at most one of a cluster; return them, (m,), and their clusters."""
    totals = np.array(parts.each("weigh", squared.number, scale_for(squared.peak, len(parts))), np.int64)
    total = int(totals.sum())
    aims = np.minimum((uniform * float(total)).astype(np.int64), total - 1)
    ends = np.cumsum(totals)
    at = np.searchsorted(ends, aims, side="right")
    own = iter([(aims[at == place] - end + size,) for place, (end, size) in enumerate(zip(ends, totals, strict=True))])
    found = parts.each("draw", labels.number, own=[next(own) if size else None for size in parts.sizes])
    rows, clusters = np.empty(len(aims), np.int64), np.empty(len(aims), np.int32)
    order = np.argsort(at, kind="stable")
    rows[order] = parts.global_rows([one for one, _ in found])
    clusters[order] = np.concatenate([one for _, one in found])
    firsts = np.sort(np.unique(clusters, return_index=True)[1])
    return rows[firsts], clusters[firsts]


class PartedPrices:
    """What rows on several devices lose where the centroids of their labels go."""

    def __init__(self, parts: Parted, labels: Spread, k: int) -> None:
        self.parts, self.labels, self.k = parts, labels, k
        self.scale = scale_for(max(parts.each("largest_loss")), len(parts))

    def of(self, order: Int32Array, place: Int32Array) -> Float64Array:
        """Return the price of every centroid."""
        totals, endless = self.parts.sum("losses", self.labels.number, order, place, self.scale)
        return prices_of(totals, endless, self.scale)


def reseed_empty(parts: Parted, centroids: Float32Array, labels: Spread, squared: Spread) -> Int64Array:
    """Give every empty cluster the row with the largest error, in place; return the clusters."""
    (sizes,) = parts.sum("sizes", labels.number, len(centroids))
    empty = np.flatnonzero(sizes == 0)
    if not empty.size:
        return empty
    most = 4 * len(empty)
    found = parts.each("worst", labels.number, squared.number, most)
    rows = parts.global_rows([one for one, _, _ in found])
    clusters, error = (np.concatenate([one[at] for one in found]) for at in (1, 2))
    worst = np.argsort(-error, kind="stable")[:most]
    chosen = rows[worst][choose_fillers(clusters[worst], sizes, len(empty))]
    filled = empty[: len(chosen)]
    if len(chosen):
        where = parts.local(chosen)
        own = [
            (labels.number, squared.number, local, filled[here].astype(np.int32)) if len(local) else None
            for here, local in where
        ]
        parts.each("fill", own=own)
        centroids[filled] = parts.gather(chosen)
    return filled
