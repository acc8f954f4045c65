"""Centroid relocation on a device: what `tasks/kmeans/relocation.py` does, by passes over all rows.

Which centroids move is decided one after the other, because each that goes makes others dearer to remove. Here all
candidates are priced at once against the decisions of the last pass, until a pass changes none: then every price counts
exactly those that went before, as in the sequence. Prices come home, k numbers; rows never do.
"""

from typing import NamedTuple, Protocol

import numpy as np

from evenkeel.infra.dtypes import BoolArray, Float32Array, Float64Array, Int32Array, Int64Array
from evenkeel.tasks.kmeans.device.arrays import Arrays
from evenkeel.tasks.kmeans.device.ranking import Ranked
from evenkeel.tasks.kmeans.device.rows import DeviceRows
from evenkeel.tasks.kmeans.device.totals import Segments, draw, scale_for, segment_totals, segments_of, weighted, whole
from evenkeel.tasks.kmeans.kernels import kernel
from evenkeel.tasks.kmeans.relocation import SHARE

PASSES = 16
DEAR = 1e300


class Towards(NamedTuple):
    """What every row would gain by joining the target in its cluster, (n,) each, on the device.

    of_row: int32, the target, -1 = none. gaps: float32, the squared distance to it. gain: float32, by weight.
    """

    of_row: Int32Array
    gaps: Float32Array
    gain: Float32Array


class Targets(NamedTuple):
    """Rows that a centroid may move to.

    rows: (m,) int64 on the device. towards: what they are to every row. gains: (m,) float64 on this machine. clusters:
    (m,) their clusters, there too.
    """

    rows: Int64Array
    towards: Towards
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
    arrays, k = rows.arrays, len(centroids)
    segments = segments_of(arrays, labels, k)
    targets = _draw_targets(rows, k, labels, squared, segments, max(1, int(2 * SHARE * k)), rng)
    if targets is None:
        return np.empty(0, np.int64)
    prices = Prices(rows, labels, ranked, k)
    goes_to, gone = choose(prices, targets.gains, targets.clusters)
    if len(gone):
        move_labels(arrays, labels, squared, ranked, targets.towards, goes_to, gone, k)
        moved_to = np.flatnonzero(goes_to >= 0)
        centroids[arrays.put(goes_to[moved_to])] = rows.gather(targets.rows[arrays.put(moved_to)])
    return np.sort(gone)


class Priced(Protocol):
    """What tells the prices of k centroids."""

    @property
    def k(self) -> int:
        """Return how many centroids there are."""

    def of(self, order: Int32Array, place: Int32Array) -> Float64Array:
        """Return what rows lose where the centroid of their label goes, (k,), 1e300 where one has no other left.

        All arrays are on this machine. place: (k,) when centroids go. order: (k,) those of lower place are gone when
        this one does.
        """


def choose(prices: Priced, gains: Float64Array, clusters: Int32Array) -> tuple[Int32Array, Int64Array]:
    """Decide which centroids move to which targets: each costs less than its target gains.

    gains: (m,) of the targets. clusters: (m,) where they lie. Return the centroid that goes to every target, (m,)
    int32, -1 = none, and those that go, in the order in which they do.
    """
    k = prices.k
    best = np.argsort(-gains, kind="stable")[: max(1, int(SHARE * k))]
    removal = prices.of(np.zeros(k, np.int32), np.zeros(k, np.int32))
    hosts = np.zeros(k, np.bool_)
    hosts[clusters[best]] = True
    cheapest = np.argsort(removal, kind="stable")[: 4 * len(best)]
    cheapest = cheapest[~hosts[cheapest]]
    gone = _decide(prices, cheapest, gains[best])
    goes_to = np.full(len(gains), -1, np.int32)
    goes_to[best[: len(gone)]] = gone
    return goes_to, gone


def move_labels(
    arrays: Arrays,
    labels: Int32Array,
    squared: Float32Array,
    ranked: Ranked,
    towards: Towards,
    goes_to: Int32Array,
    gone: Int64Array,
    k: int,
) -> None:
    """Give rows the centroids that come nearer, and those that lose theirs the next one, in place; -1 = none left.

    goes_to, gone: as `choose` returns them.
    """
    xp = arrays.xp
    joins = arrays.put(goes_to)[xp.maximum(towards.of_row, 0)]
    joining = (towards.of_row >= 0) & (joins >= 0) & (towards.gaps < squared)
    place = arrays.put(_places(gone, k))
    second, third = _left(ranked, place, 1), _left(ranked, place, 2)
    orphaned = xp.where(second, ranked.ids[:, 1], xp.where(third, ranked.ids[:, 2], -1))
    homeless = place[labels] < len(gone)
    labels[:] = xp.where(joining, joins, xp.where(homeless, orphaned, labels))


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
    towards = gains_of(rows, target_of, rows.gather(picks), labels, squared)
    gains = segment_totals(arrays, towards.gain, segments)[clusters]
    return Targets(picks, towards, arrays.get(gains), arrays.get(clusters))


def gains_of(
    rows: DeviceRows, target_of: Int32Array, points: Float32Array, labels: Int32Array, squared: Float32Array
) -> Towards:
    """Return what rows gain by points, (m, d), of which target_of, (k,), names one for a cluster, -1 = none."""
    xp = rows.arrays.xp
    of_row = target_of[labels]
    gaps = rows.squared(points, of_row)
    gain = weighted(xp.maximum(xp.where(of_row >= 0, squared - xp.where(of_row >= 0, gaps, 0), 0), 0), rows.weights)
    return Towards(of_row, gaps, gain)


def largest_loss(rows: DeviceRows, ranked: Ranked) -> float:
    """Return the most that a row can lose by going to its third centroid, which sets the scale of prices."""
    xp = rows.arrays.xp
    losses = xp.where(xp.isfinite(ranked.gaps), ranked.gaps, np.float32(0)).max(axis=1)
    return float(weighted(losses, rows.weights).max())


def losses_of(
    rows: DeviceRows, labels: Int32Array, ranked: Ranked, order: Int32Array, place: Int32Array, scale: float
) -> tuple[Int64Array, Int32Array]:
    """Return what rows lose, as `Kernels.losses` adds it, and how many have no other left, (k,), on this machine."""
    arrays, xp, k = rows.arrays, rows.arrays.xp, len(place)
    totals, endless = xp.zeros(k, np.int64), xp.zeros(k, np.int32)
    there = arrays.put(order), arrays.put(place)
    arrays.kernels.losses(*ranked, rows.weights, labels, *there, scale, totals, endless)
    return arrays.get(totals), arrays.get(endless)


def prices_of(totals: Int64Array, endless: Int32Array, scale: float) -> Float64Array:
    """Return the prices that losses add up to, (k,)."""
    return np.where(endless > 0, DEAR, totals.astype(np.float64) / scale)


class Prices:
    """What rows on one device lose where the centroids of their labels go."""

    def __init__(self, rows: DeviceRows, labels: Int32Array, ranked: Ranked, k: int) -> None:
        self.rows, self.labels, self.ranked, self.k = rows, labels, ranked, k
        self.scale = scale_for(largest_loss(rows, ranked), len(labels))

    def of(self, order: Int32Array, place: Int32Array) -> Float64Array:
        """Return the price of every centroid."""
        return prices_of(*losses_of(self.rows, self.labels, self.ranked, order, place, self.scale), self.scale)


def _decide(prices: Priced, cheapest: Int64Array, gains: Float64Array) -> Int64Array:
    """Return the centroids that go, (m,) int64, in the order of `cheapest`: each costs less than its target gains."""
    k = prices.k
    order, gone = _places(cheapest, k), np.empty(0, np.int64)
    for _ in range(PASSES):
        place = np.full(k, k, np.int32)
        place[gone] = order[gone]
        found = cheapest[_accept(prices.of(order, place)[cheapest], gains)]
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
