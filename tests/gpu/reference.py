"""The kernels of the device loop in NumPy: what they compute, said plainly. `standin.py` runs the loop on them."""

import numpy as np

from evenkeel.infra.dtypes import Float32Array, Float64Array, Int32Array, Int64Array
from evenkeel.tasks.kmeans.device.arrays import NEAREST, Seen

ROWS = 512


def rounded(x: Float32Array, out: Float32Array) -> None:
    """Round to the 11 bits of TF32, ties to even."""
    bits = np.ascontiguousarray(x).view(np.uint32)
    out[:] = ((bits + np.uint32(0xFFF) + ((bits >> np.uint32(13)) & np.uint32(1))) & np.uint32(0xFFFFE000)).view(
        np.float32
    )


def candidates(
    products: Float32Array,
    half: Float32Array,
    which: Int32Array | None,
    slack: Float32Array,
    ids: Int32Array,
    scores: Float32Array,
    counts: Int32Array,
) -> None:
    """Find the columns whose half - products is up to the third least + 2 slack."""
    for first in range(0, len(products), ROWS):
        part = slice(first, first + ROWS)
        found = (half[:1] if which is None else half[which[part]]) - products[part]
        third = np.partition(found, NEAREST - 1, axis=1)[:, NEAREST - 1] if found.shape[1] >= NEAREST else np.inf
        near = found <= (third + np.float32(2) * slack[part])[:, None]
        counts[part] = near.sum(axis=1)
        row, column = np.nonzero(near)
        place = np.arange(len(row)) - np.repeat(np.cumsum(counts[part]) - counts[part], counts[part])
        kept = place < ids.shape[1]
        ids[first + row[kept], place[kept]] = column[kept]
        scores[first + row[kept], place[kept]] = found[row[kept], column[kept]]


def settle(
    x: Float32Array,
    points: Float32Array,
    among: Int32Array,
    ids: Int32Array,
    gaps: Float32Array,
    seen: Seen | None = None,
) -> None:
    """Find the three nearest of some points to every row."""
    ids[:], gaps[:] = -1, np.inf
    for first in range(0, len(x), ROWS):
        part = slice(first, first + ROWS)
        by_id = np.argsort(np.where(among[part] < 0, len(points), among[part]), axis=1, kind="stable")
        sorted_ids = np.take_along_axis(among[part], by_id, axis=1)
        there = sorted_ids >= 0
        apart = x[part, None] - points[np.where(there, sorted_ids, 0)]
        squared = np.where(there, (apart * apart).sum(axis=2), np.float32(np.inf))
        order = np.argsort(squared, axis=1, kind="stable")[:, :NEAREST]
        best = np.take_along_axis(squared, order, axis=1)
        gaps[part, : order.shape[1]] = best
        ids[part, : order.shape[1]] = np.where(np.isfinite(best), np.take_along_axis(sorted_ids, order, axis=1), -1)
        if seen is not None:
            scores = np.take_along_axis(seen.scores[part], by_id, axis=1)
            off = np.abs(scores - (squared - seen.norms[part, None]) * np.float32(0.5))
            seen.worst[part] = np.where(there, off, 0).max(axis=1)


def compare_all(x: Float32Array, points: Float32Array, ids: Int32Array, gaps: Float32Array) -> None:
    """Find the three nearest of all points to every row."""
    everyone = np.arange(len(points), dtype=np.int32)[None]
    for row in range(len(x)):
        settle(x[row : row + 1], points, everyone, ids[row : row + 1], gaps[row : row + 1])


def gaps(x: Float32Array, points: Float32Array, to: Int32Array, out: Float32Array) -> None:
    """Write the squared distance of every row to its point."""
    apart = x - points[np.maximum(to, 0)]
    out[:] = np.where(to >= 0, (apart * apart).sum(axis=1), np.float32(np.inf))


def draw_seeds(
    squared: Float32Array,
    weights: Float32Array | None,
    order: Int64Array,
    starts: Int64Array,
    uniform: Float64Array,
    chosen: Int64Array,
) -> None:
    """Draw a row of every group in proportion to weight x squared distance."""
    for group in range(len(chosen)):
        rows = order[starts[group] : starts[group + 1]]
        sure = np.ones(len(rows), np.float32) if weights is None else weights[rows]
        values = sure if np.isinf(squared[rows]).any() else squared[rows] * sure
        peak = float(values.max()) if len(rows) else 0.0
        chosen[group] = -1
        if peak > 0:
            bits = 62 - int(np.ceil(np.log2(len(rows) + 1)))
            scale = 2.0 ** (bits - np.frexp(peak)[1])
            prefix = np.cumsum(np.ceil(values.astype(np.float64) * scale).astype(np.int64))
            aim = min(int(uniform[group] * float(prefix[-1])), int(prefix[-1]) - 1)
            chosen[group] = rows[np.searchsorted(prefix, aim, side="right")]


def group_peaks(squared: Float32Array, order: Int64Array, starts: Int64Array, peaks: Float32Array) -> None:
    """Find the largest number of every group."""
    for group in range(len(peaks)):
        values = squared[order[starts[group] : starts[group + 1]]]
        peaks[group] = np.where(np.isinf(values), np.float32(1), values).max(initial=0)


def draw_at(
    squared: Float32Array,
    order: Int64Array,
    starts: Int64Array,
    scales: Float64Array,
    aims: Int64Array,
    totals: Int64Array,
    chosen: Int64Array,
) -> None:
    """Add the numbers of every group, as whole ones, and find the row that the aim falls on."""
    for group in range(len(chosen)):
        rows = order[starts[group] : starts[group + 1]]
        values = np.where(np.isinf(squared[rows]), np.float32(1), squared[rows]).astype(np.float64)
        prefix = np.cumsum(np.ceil(values * scales[group]).astype(np.int64))
        totals[group] = prefix[-1] if len(rows) else 0
        found = 0 <= aims[group] < totals[group]
        chosen[group] = rows[np.searchsorted(prefix, aims[group], side="right")] if found else -1


def lower_to(
    x: Float32Array, points: Float32Array, chosen: Int64Array, groups: Int32Array, squared: Float32Array
) -> None:
    """Lower squared distances to those to the point of the row's group."""
    here = np.flatnonzero(groups < len(chosen))
    here = here[chosen[groups[here]] >= 0]
    apart = x[here] - points[groups[here]]
    squared[here] = np.minimum(squared[here], (apart * apart).sum(axis=1))


def losses(
    ids: Int32Array,
    gaps: Float32Array,
    weights: Float32Array | None,
    labels: Int32Array,
    order: Int32Array,
    place: Int32Array,
    scale: float,
    totals: Int64Array,
    endless: Int32Array,
) -> None:
    """Add what every row loses if the centroid of its label goes."""
    own = order[labels]
    second, third = ((ids[:, at] >= 0) & (place[np.maximum(ids[:, at], 0)] >= own) for at in (1, 2))
    near = np.where(second, gaps[:, 1], np.where(third, gaps[:, 2], np.float32(np.inf)))
    endless += np.bincount(labels[np.isinf(near)], minlength=len(endless)).astype(np.int32)
    left = np.isfinite(near)
    loss = np.maximum(near[left] - gaps[left, 0], np.float32(0)) * (1 if weights is None else weights[left])
    np.add.at(totals, labels[left], np.ceil(loss.astype(np.float64) * scale).astype(np.int64))


def add_segments(
    x: Float32Array, weights: Float32Array | None, order: Int64Array, starts: Int64Array, sums: Float64Array
) -> None:
    """Add the rows of every segment."""
    there = np.flatnonzero(np.diff(starts))
    if len(there):
        sorted_rows = x[order].astype(np.float64)
        if weights is not None:
            sorted_rows *= weights[order, None].astype(np.float64)
        sums[there] += np.add.reduceat(sorted_rows, starts[there], axis=0)
