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
from evenkeel.tasks.kmeans.device.totals import Segments, draw, segment_totals, segments_of, weighted, whole
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
    removal = arrays.get(_priced(rows, ranked.gaps[:, 1] - ranked.gaps[:, 0], segments))
    hosts = np.zeros(k, np.bool_)
    hosts[targets.clusters[best]] = True
    cheapest = np.argsort(removal, kind="stable")[: 4 * len(best)]
    cheapest = cheapest[~hosts[cheapest]]
    gone = _decide(rows, labels, ranked, segments, cheapest, targets.gains[best])
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


def _decide(
    rows: DeviceRows,
    labels: Int32Array,
    ranked: Ranked,
    segments: Segments,
    cheapest: Int64Array,
    gains: Float64Array,
) -> Int64Array:
    """Return the centroids that go, (m,) int64, in the order of `cheapest`: each costs less than its target gains."""
    arrays, xp, k = rows.arrays, rows.arrays.xp, len(segments.starts) - 1
    order = arrays.put(_places(cheapest, k))
    own = order[labels]
    gone = np.empty(0, np.int64)
    for _ in range(PASSES):
        place = np.full(k, k, np.int32)
        place[gone] = _places(cheapest, k)[gone]
        before = arrays.put(place)
        second, third = _left(ranked, before, 1, own), _left(ranked, before, 2, own)
        near = xp.where(second, ranked.gaps[:, 1], xp.where(third, ranked.gaps[:, 2], np.float32(np.inf)))
        costs = _priced(rows, near - ranked.gaps[:, 0], segments)
        found = cheapest[_accept(arrays.get(costs[arrays.put(cheapest)]), gains)]
        if np.array_equal(found, gone):
            break
        gone = found
    return gone


def _left(ranked: Ranked, place: Int32Array, at: int, before: Int32Array | None = None) -> BoolArray:
    """Return whether the centroid ranked `at` is there for every row, (n,): it exists, and has not gone.

    place: (k,) where a centroid goes in the order, k = it stays. before: (n,) only those that go earlier count.
    """
    ids = ranked.ids[:, at]
    goes = place[ids * (ids >= 0)]
    stays = goes == len(place) if before is None else goes >= before
    found: BoolArray = (ids >= 0) & stays
    return found


def _places(which: Int64Array, k: int) -> Int32Array:
    """Return the place of each of k centroids in `which`, k where it is not there."""
    place = np.full(k, k, np.int32)
    place[which] = np.arange(len(which), dtype=np.int32)
    return place


def _priced(rows: DeviceRows, loss: Float32Array, segments: Segments) -> Float64Array:
    """Return the weighted sum of losses of every cluster, 1e300 where one is infinite, (k,) float64."""
    xp = rows.arrays.xp
    finite = xp.isfinite(loss)
    totals = segment_totals(rows.arrays, weighted(xp.where(finite, xp.maximum(loss, 0), 0), rows.weights), segments)
    endless = segment_totals(rows.arrays, xp.where(finite, 0, 1).astype(np.float32), segments)
    return xp.where(endless > 0, DEAR, totals)  # type: ignore[no-any-return]


@kernel
def _accept(costs: Float64Array, gains: Float64Array) -> BoolArray:
    """Return which of (m,) costs, one after the other, are below the gain whose turn it is; a gain is used once."""
    taken, turn = np.zeros(costs.shape[0], np.bool_), 0
    for at in range(costs.shape[0]):
        if turn < gains.shape[0] and costs[at] < gains[turn]:
            taken[at] = True
            turn += 1
    return taken
