"""Rows on a device: the working copy of the caller's rows, checked once; or their blocks, copied in every pass.

Everything that is summed over rows goes by blocks whose size follows from the dimension alone, so that rows which fit
the device and rows which do not give the same bits.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from evenkeel.infra.dtypes import Array, Float32Array, Float64Array, Int32Array, Int64Array
from evenkeel.tasks.kmeans.device.arrays import Arrays
from evenkeel.tasks.kmeans.device.totals import Segments, segment_totals, segments_of
from evenkeel.tasks.kmeans.options import Metric
from evenkeel.tasks.kmeans.prepare import (
    Frame,
    Matrix,
    check_shape,
    check_weights,
    frame_of,
    no_direction,
    not_finite,
)

BLOCK_BYTES = 256 << 20
RESIDENT_SHARE = 0.6


class Block(NamedTuple):
    """Rows first..last in working coordinates, on the device."""

    first: int
    last: int
    x: Float32Array


@dataclass(frozen=True)
class DeviceRows:
    """Rows in working coordinates, as `PreparedRows` are, on a device.

    x: (n, d) float32; None where the rows do not fit: then blocks are copied from `source` in every pass. source: the
    caller's rows. norms: (n,) float32, |x|^2. quartic: (n,) float32, the fourth root of the sum of x^4. weights: (n,)
    float32, None = all weigh the same. peak: the largest absolute value of the caller's rows, by which directions are
    found.
    """

    arrays: Arrays
    x: Float32Array | None
    source: Matrix
    norms: Float32Array
    quartic: Float32Array
    weights: Float32Array | None
    frame: Frame
    spherical: bool
    peak: float
    shape: tuple[int, int]

    def __len__(self) -> int:
        return self.shape[0]

    def blocks(self) -> Iterator[Block]:
        """Yield all rows in order, in blocks whose size follows from the dimension."""
        if self.x is None:
            yield from _working_blocks(self.arrays, self.source, self.shape, self.frame, self.spherical, self.peak)
            return
        for first, last in _bounds(self.shape):
            yield Block(first, last, self.x[first:last])

    def spans(self) -> Iterator[Block]:
        """Yield all rows in order: at once where they are on the device, in blocks where they are not."""
        if self.x is None:
            yield from self.blocks()
        else:
            yield Block(0, len(self), self.x)

    def gather(self, index: Int64Array) -> Float32Array:
        """Return copies of the rows at `index`, (m,) on the device."""
        if self.x is not None:
            return self.x[index]
        found: Float32Array = self.arrays.xp.empty((len(index), self.shape[1]), np.float32)
        for first, last, x in self.blocks():
            here = self.arrays.xp.flatnonzero((index >= first) & (index < last))
            found[here] = x[index[here] - first]
        return found

    def take(self, index: Int64Array) -> "DeviceRows":
        """Return a copy of the rows at `index`, (m,) on the device.

        Where these do not fit it either, they are copied in this machine's memory: a k-means is counted with them.
        """
        shape = (len(index), self.shape[1])
        weights = None if self.weights is None else self.weights[index]
        x, source = None, self.source
        if self.x is not None or fits(self.arrays, shape):
            x = self.gather(index)
        else:
            source = picked(self.source, self.arrays.get(index))
        norms, quartic = self.norms[index], self.quartic[index]
        return replace(self, x=x, source=source, norms=norms, quartic=quartic, weights=weights, shape=shape)

    def squared(self, points: Float32Array, to: Int32Array) -> Float32Array:
        """Return |x - p|^2 of every row for the point that `to`, (n,), names; infinity for -1. (n,) float32."""
        out: Float32Array = self.arrays.xp.empty(len(self), np.float32)
        for first, last, x in self.blocks():
            self.arrays.kernels.gaps(x, points, to[first:last], out[first:last])
        return out

    def move_to_means(self, centroids: Float32Array, labels: Int32Array, segments: Segments | None = None) -> None:
        """Move centroids, (k, d), to the weighted means of the rows of their label, in place; one without stays.

        segments: the rows by label, where the caller has them.
        """
        xp, k = self.arrays.xp, len(centroids)
        found = segments_of(self.arrays, labels, k) if segments is None else segments
        sums: Float64Array = xp.zeros(centroids.shape, xp.float64)
        for first, last, x in self.blocks():
            whole = last - first == len(self)
            here = found if whole else segments_of(self.arrays, labels[first:last], k)
            weights = None if self.weights is None else self.weights[first:last]
            self.arrays.kernels.add_segments(x, weights, here.order, here.starts, sums)
        mass = xp.diff(found.starts).astype(xp.float64)
        if self.weights is not None:
            mass = segment_totals(self.arrays, self.weights, found)
        means = (sums / xp.where(mass > 0, mass, 1)[:, None]).astype(xp.float32)
        if self.spherical:
            to_sphere(self.arrays, means)
        centroids[:] = xp.where((mass > 0)[:, None], means, centroids)


def picked(source: Matrix, index: Int64Array) -> Array:
    """Return a copy of some rows of a matrix in this machine's memory, in any order; index: (m,) int64."""
    found = np.empty((len(index), source.shape[1]), source.dtype)
    by_row = np.argsort(index, kind="stable")
    bounds = _bounds((source.shape[0], source.shape[1]))
    ends = np.searchsorted(index[by_row], [last for _, last in bounds]).tolist()
    for (first, last), (low, high) in zip(bounds, pairwise([0, *ends]), strict=True):
        if low < high:
            here = by_row[low:high]
            found[here] = np.asarray(source[first:last])[index[here] - first]
    return found


def prepare_rows(
    arrays: Arrays, x: Matrix, weights: npt.ArrayLike | None, metric: Metric, frame: Frame | None = None
) -> DeviceRows:
    """Check (n, d) rows and copy them to the device, once; those that do not fit stay where they are.

    frame: that of other rows, in place of their own. Raises InputError as `prepare.prepare` does.
    """
    checked, spherical = check_weights(weights, check_shape(x)[0]), metric == "cosine"
    raw = copy_rows(arrays, x)
    mean = arrays.get(raw.total) / raw.shape[0]
    if not np.isfinite(mean).all():
        raise not_finite(raw.first_not_finite())
    if frame is None:
        frame = (
            Frame(np.zeros(raw.shape[1], np.float32), 1.0)
            if spherical
            else frame_of(mean.astype(np.float32), float(raw.peak))
        )
    made = raw.prepared(frame, spherical, arrays.put(checked) if checked.size else None, float(raw.peak))
    if spherical and (row := without_direction(made)) is not None:
        raise no_direction(row)
    return made


def without_direction(rows: DeviceRows) -> int | None:
    """Return the first row of length zero, None where there is none."""
    least = rows.arrays.xp.argmin(rows.norms)
    return None if bool(rows.norms[least] > 0) else int(least)


@dataclass(frozen=True)
class RawRows:
    """Rows as they came, float32.

    x: (n, d) on the device, None where they do not fit. total: (d,) float64, their sum. peak: () the largest absolute
    value; both on the device.
    """

    arrays: Arrays
    x: Float32Array | None
    source: Matrix
    total: Float64Array
    peak: Float32Array
    shape: tuple[int, int]

    def blocks(self) -> Iterator[Block]:
        """Yield all rows in order, in blocks whose size follows from the dimension."""
        x, bounds = self.x, _bounds(self.shape)
        copied = (
            _raw_blocks(self.arrays, self.source, self.shape) if x is None else (x[low:high] for low, high in bounds)
        )
        for (first, last), raw in zip(bounds, copied, strict=True):
            yield Block(first, last, raw)

    def first_not_finite(self) -> int:
        """Return the first row that is not finite; there is one."""
        xp = self.arrays.xp
        found = ((first, xp.flatnonzero(~xp.isfinite(raw).all(axis=1))) for first, _, raw in self.blocks())
        return next(first + int(bad[0]) for first, bad in found if len(bad))

    def prepared(self, frame: Frame, spherical: bool, weights: Float32Array | None, peak: float) -> DeviceRows:
        """Bring the rows to working coordinates: in place, so this object is used up. peak: that of all rows."""
        arrays, xp, n = self.arrays, self.arrays.xp, self.shape[0]
        norms: Float32Array = xp.empty(n, np.float32)
        quartic: Float32Array = xp.empty(n, np.float32)
        made = DeviceRows(arrays, self.x, self.source, norms, quartic, weights, frame, spherical, peak, self.shape)
        if self.x is not None:
            for _, _, part in made.blocks():
                _to_frame(arrays, part, frame, spherical, peak)
        for first, last, part in made.blocks():
            norms[first:last] = (part * part).sum(axis=1)
            quartic[first:last] = quartic_norms(arrays, part)
        return made


def copy_rows(arrays: Arrays, x: Matrix) -> RawRows:
    """Copy (n, d) rows to the device, once, and look at all; those that do not fit stay where they are."""
    shape, xp = check_shape(x), arrays.xp
    resident = _room(arrays, shape)
    total, peak = xp.zeros(shape[1], xp.float64), xp.zeros((), xp.float32)
    for (first, last), raw in zip(_bounds(shape), _raw_blocks(arrays, x, shape), strict=True):
        with np.errstate(invalid="ignore"):
            total += raw.sum(axis=0, dtype=xp.float64)
            peak = xp.maximum(peak, xp.abs(raw).max())
        if resident is not None:
            resident[first:last] = raw
    return RawRows(arrays, resident, x, total, peak, shape)


def fits(arrays: Arrays, shape: tuple[int, int]) -> bool:
    """Tell whether rows of this shape, as float32, take at most 60 % of the free memory."""
    return 4 * shape[0] * shape[1] <= RESIDENT_SHARE * arrays.free_bytes()


def to_sphere(arrays: Arrays, points: Float32Array) -> None:
    """Scale every point to length 1, in place; one of length zero stays."""
    xp = arrays.xp
    length = xp.sqrt((points.astype(xp.float64) ** 2).sum(axis=1))
    points /= xp.where(length > 0, length, 1)[:, None].astype(xp.float32)


def quartic_norms(arrays: Arrays, points: Float32Array) -> Float32Array:
    """Return the fourth root of the sum of the fourth powers of every point, (n,) float32."""
    squared = points * points
    return arrays.xp.sqrt(arrays.xp.sqrt((squared * squared).sum(axis=1)))  # type: ignore[no-any-return]


def _room(arrays: Arrays, shape: tuple[int, int]) -> Float32Array | None:
    """Return room for the rows on the device, None where there is none."""
    if not fits(arrays, shape):
        return None
    try:
        return arrays.xp.empty(shape, np.float32)  # type: ignore[no-any-return]
    except arrays.memory_errors:
        return None


def _bounds(shape: tuple[int, int]) -> list[tuple[int, int]]:
    rows = max(1, BLOCK_BYTES // (4 * shape[1]))
    return [(first, min(first + rows, shape[0])) for first in range(0, shape[0], rows)]


def _raw_blocks(arrays: Arrays, x: Matrix, shape: tuple[int, int]) -> Iterator[Float32Array]:
    """Yield the caller's rows as float32 on the device, block by block; they travel in their own type."""
    for block in arrays.stream(np.asarray(x[first:last]) for first, last in _bounds(shape)):
        with np.errstate(over="ignore"):
            yield block.astype(np.float32)


def _working_blocks(
    arrays: Arrays, x: Matrix, shape: tuple[int, int], frame: Frame, spherical: bool, peak: float
) -> Iterator[Block]:
    for (first, last), part in zip(_bounds(shape), _raw_blocks(arrays, x, shape), strict=True):
        _to_frame(arrays, part, frame, spherical, peak)
        yield Block(first, last, part)


def _to_frame(arrays: Arrays, part: Float32Array, frame: Frame, spherical: bool, peak: float) -> None:
    """Bring rows, in place, from the caller's coordinates to the working ones."""
    xp = arrays.xp
    if spherical:
        part /= np.float32(max(peak, 1e-30))
        to_sphere(arrays, part)
    shift = arrays.put(frame.shift)
    if frame.scale == 1.0:
        part -= shift
    else:
        part[:] = (part.astype(xp.float64) - shift) * frame.scale
