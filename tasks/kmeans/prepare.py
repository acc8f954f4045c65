"""The working copy of the rows: float32, centred, scaled to a safe range, checked once."""

from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from evenkeel.infra.dtypes import Float32Array, Float64Array, Int64Array
from evenkeel.infra.errors import InputError
from evenkeel.tasks.kmeans.kernels import WeightedRows, kernel
from evenkeel.tasks.kmeans.options import Metric
from evenkeel.tasks.kmeans.parallel import parallel_for

ROWS_PER_COPY = 128
LARGEST_SCALE = 126.0  # as a power of two: float32 holds this one and its inverse


class Matrix(Protocol):
    """What rows are copied from: an (n, d) array, a memory map, or anything else that is read by slices of rows."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(n, d)."""

    @property
    def dtype(self) -> np.dtype[np.generic]:
        """The type of its numbers."""

    def __getitem__(self, rows: slice, /) -> npt.NDArray[np.generic]:
        """Return some of its rows."""


class Frame(NamedTuple):
    """Working coordinates: x = (original - shift) * scale; shift is (d,) float32, scale a power of two."""

    shift: Float32Array
    scale: float

    def inside(self, centroids: npt.ArrayLike) -> Float32Array:
        """Return original centroids in working coordinates."""
        return np.ascontiguousarray((np.asarray(centroids, np.float32) - self.shift) * np.float32(self.scale))

    def outside(self, centroids: Float32Array) -> Float32Array:
        """Return working centroids in the coordinates of the original rows."""
        return centroids / np.float32(self.scale) + self.shift


@dataclass(frozen=True)
class PreparedRows:
    """Rows ready for the kernels, in working coordinates.

    x: (n, d) float32, C order. weights: (n,) float32, or (0,) where all rows weigh the same. frame: what the working
    coordinates are. spherical: rows have length 1 and so shall centroids. norms: (n,) float32, |x|^2.
    """

    x: Float32Array
    weights: Float32Array
    frame: Frame
    spherical: bool
    threads: int
    norms: Float32Array

    @property
    def weighted(self) -> WeightedRows:
        """Return the rows and their weights, as kernels take them."""
        return WeightedRows(self.x, self.weights)

    def take(self, index: Int64Array) -> "PreparedRows":
        """Return a copy of the rows at `index`."""
        weights = self.weights[index] if self.weights.size else self.weights
        return replace(self, x=self.x[index], weights=weights, norms=self.norms[index])

    def reorder(self, order: Int64Array) -> "PreparedRows":
        """Return the rows in another order, moved in place: the present object is used up."""
        permute_rows(self.x, order)
        weights = self.weights[order] if self.weights.size else self.weights
        return replace(self, weights=weights, norms=self.norms[order])


def prepare(
    x: Matrix, weights: npt.ArrayLike | None, metric: Metric, threads: int, frame: Frame | None = None
) -> PreparedRows:
    """Check (n, d) rows and return their working copy; frame: that of other rows, in place of their own.

    Raises InputError for another shape, for NaN or infinity, for weights that are negative or all zero, and for a row
    of length zero where only directions count.
    """
    n, d = check_shape(x)
    work, norms = np.empty((n, d), np.float32), np.empty(n, np.float32)
    copied = parallel_for(lambda first, last: _copy(x, first, work[first:last]), n, threads)
    checked = check_weights(weights, n)
    peak = max(top for _, top in copied)
    spherical = metric == "cosine"
    if frame is None and spherical:
        frame = Frame(np.zeros(d, np.float32), 1.0)
    elif frame is None:
        frame = frame_of((np.sum([total for total, _ in copied], axis=0) / n).astype(np.float32), peak)

    def to_frame(first: int, last: int) -> None:
        part = work[first:last]
        if spherical:
            _scale_to_length_1(part, first, peak)
        move(part, *frame, norms[first:last])

    parallel_for(to_frame, n, threads)
    return PreparedRows(work, checked, frame, spherical, threads, norms)


def check_shape(x: Matrix) -> tuple[int, int]:
    """Return rows and dimensions of a matrix. Raises InputError for another shape and for what is no number."""
    if len(getattr(x, "shape", ())) != 2 or x.shape[1] < 1:
        raise InputError("k-means needs a matrix", expected="(rows, dimensions)", found=str(np.shape(x)))
    n, d = x.shape
    if n < 1:
        raise InputError("k-means needs rows", expected="at least one row", found="none")
    if not (np.issubdtype(x.dtype, np.floating) or np.issubdtype(x.dtype, np.integer)):
        raise InputError("k-means needs numbers", expected="float16, float32 or float64 rows", found=str(x.dtype))
    return n, d


def not_finite(row: int) -> InputError:
    """Return the error that names a row with NaN or infinity."""
    return InputError(
        "a row is not finite",
        expected="finite float32 values",
        found=f"NaN or infinity in row {row}",
        remedy="remove or repair the row; ingest puts such rows in quarantine",
    )


def no_direction(row: int) -> InputError:
    """Return the error that names a row of length zero where only directions count."""
    return InputError(
        "a row has no direction",
        expected="rows of length above zero, because metric is cosine",
        found=f"zeros in row {row}",
        remedy="remove the row (dedup.zero_vectors: drop), or use metric: euclidean",
    )


def _copy(x: Matrix, first: int, work: Float32Array) -> tuple[Float64Array, float]:
    """Copy rows of x from `first` on to work (m, d); return their sum, (d,), and the largest absolute value."""
    total, peak = np.zeros(work.shape[1]), 0.0
    for start in range(0, len(work), ROWS_PER_COPY):
        with np.errstate(over="ignore"):
            piece = work[start : start + ROWS_PER_COPY]
            piece[:] = x[first + start : min(first + start + ROWS_PER_COPY, first + len(work))]
        add_rows(piece, total)
        peak = max(peak, float(piece.max()), -float(piece.min()))
    if not np.isfinite(total).all():
        raise not_finite(first + int(np.flatnonzero(~np.isfinite(work).all(axis=1))[0]))
    return total, peak


def frame_of(mean: Float32Array, peak: float) -> Frame:
    """Return the frame that centres rows of this mean and scales them, where values up to `peak` are extreme."""
    largest = peak + float(np.abs(mean).max())
    moderate = 1e-4 <= largest <= 1e4 or largest == 0
    return Frame(mean, 1.0 if moderate else float(2.0 ** min(-np.ceil(np.log2(largest)), LARGEST_SCALE)))


def _scale_to_length_1(part: Float32Array, first: int, peak: float) -> None:
    """Scale rows to length 1, in place; `first` is the number of the first of them."""
    part /= max(peak, 1e-30)
    length = np.sqrt(np.einsum("ij,ij->i", part, part, dtype=np.float64))
    if not length.all():
        raise no_direction(first + int(np.flatnonzero(length == 0)[0]))
    part /= length[:, None].astype(np.float32)


def check_weights(weights: npt.ArrayLike | None, n: int) -> Float32Array:
    """Return n weights as float32, (0,) where there are none. Raises InputError for weights that mean nothing."""
    if weights is None:
        return np.empty(0, np.float32)
    checked = np.ascontiguousarray(weights, dtype=np.float32)
    if checked.shape != (n,):
        raise InputError("every row needs one weight", expected=f"({n},)", found=str(checked.shape), where="weights")
    if not np.isfinite(checked).all() or (checked < 0).any() or not (checked > 0).any():
        raise InputError(
            "weights are not usable", expected="finite, none negative, at least one above zero", where="weights"
        )
    return checked


@kernel
def add_rows(x: Float32Array, total: Float64Array) -> None:
    """Add the rows of x (n, d) to total (d,)."""
    for i in range(x.shape[0]):
        for j in range(x.shape[1]):
            total[j] += x[i, j]


@kernel
def move(x: Float32Array, shift: Float32Array, scale: float, norms: Float32Array) -> None:
    """Turn x (n, d) into (x - shift) * scale in place, and write the squared lengths of its rows to norms (n,)."""
    for i in range(x.shape[0]):
        norm = np.float32(0)
        for j in range(x.shape[1]):
            if scale == 1.0:
                x[i, j] -= shift[j]
            else:
                x[i, j] = (np.float64(x[i, j]) - shift[j]) * scale
            norm += x[i, j] * x[i, j]
        norms[i] = norm


@kernel
def permute_rows(x: Float32Array, order: Int64Array) -> None:
    """Put row order[i] of x (n, d) at place i, in place."""
    n, d = x.shape
    done = np.zeros(n, np.bool_)
    kept = np.empty(d, x.dtype)
    for start in range(n):
        if done[start] or order[start] == start:
            continue
        kept[:] = x[start]
        i = start
        while order[i] != start:
            x[i] = x[order[i]]
            done[i] = True
            i = order[i]
        x[i] = kept
        done[i] = True
