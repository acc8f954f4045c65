"""Centroid relocation on a device: what `tasks/kmeans/relocation.py` does, by passes over all rows.

Which centroids move is decided one after the other, because each that goes makes others dearer to remove. Here all
candidates are priced at once against the decisions of the last pass, until a pass changes none: then every price counts
exactly those that went before, as in the sequence. Prices come home, k numbers; rows never do.
"""

from typing import NamedTuple

import numpy as np

from evenkeel.infra.dtypes import BoolArray, Float32Array, Float64Array, Int32Array, Int64Array
from evenkeel.tasks.kmeans.device.ranking import Ranked
from evenkeel.tasks.kmeans.device.rows import DeviceRows
from evenkeel.tasks.kmeans.device.totals import Segments, draw, scale_for, segment_totals, segments_of, weighted, whole
from evenkeel.tasks.kmeans.kernels import kernel
from evenkeel.tasks.kmeans.relocation import SHARE

PASSES = 16
DEAR = 1e300


class Targets(NamedTuple):
    """Rows that a centroid may move to.

    rows: (m,) int64 on the device. of_row: (n,) int32, the target in the cluster of every row, -1 = none. gaps: (n,)
    float32, the squared distance to it. gains: (m,) float64 on this machine. clusters: (m,) their clusters, there too.
    """

    rows: Int64Array
    of_row: Int32Array
    gaps: Float32Array
    gains: Float64Array
    clusters: Int32Array


def relocate(
    rows: DeviceRows,
    centroids: Float32Array,
    labels: Int32Array,
    ranked: Ranked,
    squared: Float32Array,
    rng: np.random.Generator,
) -> Int64Array:
    """Move up to 40 % of the centroids to rows drawn by weight x squared distance, in place; return which moved.

    labels: (n,), changed too; a row that belongs to none of its three nearest any more gets the label -1. ranked,
    squared: of the last ranking.
    """
    arrays, xp, k = rows.arrays, rows.arrays.xp, len(centroids)
    segments = segments_of(arrays, labels, k)
    targets = _draw_targets(rows, k, labels, squared, segments, max(1, int(2 * SHARE * k)), rng)
    if targets is None:
        return np.empty(0, np.int64)
    best = np.argsort(-targets.gains, kind="stable")[: max(1, int(SHARE * k))]
    prices = Prices(rows, labels, ranked, k)
    removal = arrays.get(prices.of(np.zeros(k, np.int32), np.zeros(k, np.int32)))
    hosts = np.zeros(k, np.bool_)
    hosts[targets.clusters[best]] = True
    cheapest = np.argsort(removal, kind="stable")[: 4 * len(best)]
    cheapest = cheapest[~hosts[cheapest]]
    gone = _decide(prices, cheapest, targets.gains[best])
    if not len(gone):
        return gone
    chosen = best[: len(gone)]
    goes_to = np.full(len(targets.gains), -1, np.int32)
    goes_to[chosen] = gone
    joins = arrays.put(goes_to)[xp.maximum(targets.of_row, 0)]
    joining = (targets.of_row >= 0) & (joins >= 0) & (targets.gaps < squared)
    place = arrays.put(_places(gone, k))
    second, third = _left(ranked, place, 1), _left(ranked, place, 2)
    orphaned = xp.where(second, ranked.ids[:, 1], xp.where(third, ranked.ids[:, 2], -1))
    homeless = place[labels] < len(gone)
    labels[:] = xp.where(joining, joins, xp.where(homeless, orphaned, labels))
    centroids[arrays.put(gone)] = rows.gather(targets.rows[arrays.put(chosen)])
    return np.sort(gone)


def _draw_targets(
    rows: DeviceRows,
    k: int,
    labels: Int32Array,
    squared: Float32Array,
    segments: Segments,
    number: int,
    rng: np.random.Generator,
) -> Targets | None:
    """Draw rows by weight x squared distance, at most one of a cluster; None where no row has an error."""
    arrays, xp = rows.arrays, rows.arrays.xp
    error = whole(arrays, weighted(squared, rows.weights))
    if error is None:
        return None
    drawn = draw(arrays, error.numbers, arrays.put(rng.random(number)))
    _, firsts = np.unique(arrays.get(labels[drawn]), return_index=True)
    picks = drawn[arrays.put(np.sort(firsts))]
    clusters = labels[picks]
    target_of = xp.full(k, -1, np.int32)
    target_of[clusters] = xp.arange(len(picks), dtype=np.int32)
    of_row = target_of[labels]
    gaps = rows.squared(rows.gather(picks), of_row)
    gain = weighted(xp.maximum(xp.where(of_row >= 0, squared - xp.where(of_row >= 0, gaps, 0), 0), 0), rows.weights)
    gains = segment_totals(arrays, gain, segments)[clusters]
    return Targets(picks, of_row, gaps, arrays.get(gains), arrays.get(clusters))


class Prices:
    """What rows lose where the centroids of their labels go."""

    def __init__(self, rows: DeviceRows, labels: Int32Array, ranked: Ranked, k: int) -> None:
        xp = rows.arrays.xp
        self.rows, self.labels, self.ranked, self.k = rows, labels, ranked, k
        losses = xp.where(xp.isfinite(ranked.gaps), ranked.gaps, np.float32(0)).max(axis=1)
        self.scale = scale_for(float(weighted(losses, rows.weights).max()), len(labels))

    def of(self, order: Int32Array, place: Int32Array) -> Float64Array:
        """Return the price of every centroid, (k,) on the device, 1e300 where a row has no other left.

        place: (k,) when centroids go. order: (k,) those of lower place are gone when this one does.
        """
        arrays, xp = self.rows.arrays, self.rows.arrays.xp
        totals, endless = xp.zeros(self.k, np.int64), xp.zeros(self.k, np.int32)
        arrays.kernels.losses(
            *self.ranked,
            self.rows.weights,
            self.labels,
            arrays.put(order),
            arrays.put(place),
            self.scale,
            totals,
            endless,
        )
        return xp.where(endless > 0, DEAR, totals.astype(np.float64) / self.scale)  # type: ignore[no-any-return]


def _decide(prices: Prices, cheapest: Int64Array, gains: Float64Array) -> Int64Array:
    """Return the centroids that go, (m,) int64, in the order of `cheapest`: each costs less than its target gains."""
    arrays, k = prices.rows.arrays, prices.k
    order, gone = _places(cheapest, k), np.empty(0, np.int64)
    for _ in range(PASSES):
        place = np.full(k, k, np.int32)
        place[gone] = order[gone]
        found = cheapest[_accept(arrays.get(prices.of(order, place))[cheapest], gains)]
        if np.array_equal(found, gone):
            break
        gone = found
    return gone


def _left(ranked: Ranked, place: Int32Array, at: int) -> BoolArray:
    """Return whether the centroid ranked `at` is there for every row, (n,): it exists, and has not gone.

    place: (k,) where a centroid goes in the order, k = it stays.
    """
    ids = ranked.ids[:, at]
    found: BoolArray = (ids >= 0) & (place[ids * (ids >= 0)] == len(place))
    return found


def _places(which: Int64Array, k: int) -> Int32Array:
    """Return the place of each of k centroids in `which`, k where it is not there."""
    place = np.full(k, k, np.int32)
    place[which] = np.arange(len(which), dtype=np.int32)
    return place


@kernel
def _accept(costs: Float64Array, gains: Float64Array) -> BoolArray:
    """Return which of (m,) costs, one after the other, are below the gain whose turn it is; a gain is used once."""
    taken, turn = np.zeros(costs.shape[0], np.bool_), 0
    for at in range(costs.shape[0]):
        if turn < gains.shape[0] and costs[at] < gains[turn]:
            taken[at] = True
            turn += 1
    return taken
