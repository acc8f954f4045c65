"""The working copy of the rows: float32, centred, scaled to a safe range, checked once."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from evenkeel.infra.errors import InputError
from evenkeel.tasks.kmeans.kernels import kernel
from evenkeel.tasks.kmeans.threads import spread

Floats = npt.NDArray[np.float32]
PIECE = 128


@dataclass(frozen=True)
class Rows:
    """Rows ready for the kernels: x = (original - shift) * scale.

    x: (n, d) float32, C order. weights: (n,) float32, or (0,) where all rows weigh the same. shift: (d,) float32.
    scale: a power of two. spherical: rows have length 1 and so shall centroids. norms: (n,) float32, |x|^2.
    """

    x: Floats
    weights: Floats
    shift: Floats
    scale: float
    spherical: bool
    threads: int
    norms: Floats

    def take(self, index: npt.NDArray[np.int64]) -> "Rows":
        """Return a copy of the rows at `index`."""
        weights = self.weights[index] if self.weights.size else self.weights
        return replace(self, x=self.x[index], weights=weights, norms=self.norms[index])

    def reorder(self, order: npt.NDArray[np.int64]) -> "Rows":
        """Return the rows in another order, moved in place: the present object is used up."""
        permute_rows(self.x, order)
        weights = self.weights[order] if self.weights.size else self.weights
        return replace(self, weights=weights, norms=self.norms[order])

    def inside(self, centroids: npt.ArrayLike) -> Floats:
        """Return original centroids in working coordinates."""
        return np.ascontiguousarray((np.asarray(centroids, np.float32) - self.shift) * np.float32(self.scale))

    def outside(self, centroids: Floats) -> Floats:
        """Return working centroids in the coordinates of the original rows."""
        return centroids / np.float32(self.scale) + self.shift


def prepare(x: Any, weights: Any, metric: str, threads: int, frame: tuple[Floats, float] | None = None) -> Rows:
    """Check (n, d) rows and return their working copy; frame = the (shift, scale) of other rows, in place of their own.

    Raises InputError for another shape, for NaN or infinity, for weights that are negative or all zero, and for a row
    of length zero where only directions count.
    """
    if getattr(x, "ndim", 0) != 2 or x.shape[1] < 1:
        raise InputError("k-means needs a matrix", expected="(rows, dimensions)", found=str(np.shape(x)))
    n, d = x.shape
    if n < 1:
        raise InputError("k-means needs rows", expected="at least one row", found="none")
    if not (np.issubdtype(x.dtype, np.floating) or np.issubdtype(x.dtype, np.integer)):
        raise InputError("k-means needs numbers", expected="float16, float32 or float64 rows", found=str(x.dtype))
    spherical = metric == "cosine"
    work = np.empty((n, d), np.float32)

    def take(first: int, last: int) -> tuple[npt.NDArray[np.float64], float]:
        part, total, peak = work[first:last], np.zeros(d), 0.0
        for start in range(0, last - first, PIECE):
            with np.errstate(over="ignore"):
                piece = part[start : start + PIECE]
                piece[:] = x[first + start : min(first + start + PIECE, last)]
            add_rows(piece, total)
            peak = max(peak, float(piece.max()), -float(piece.min()))
        if not np.isfinite(total).all():
            bad = first + int(np.flatnonzero(~np.isfinite(part).all(axis=1))[0])
            raise InputError(
                "a row is not finite",
                expected="finite float32 values",
                found=f"NaN or infinity in row {bad}",
                remedy="remove or repair the row; ingest puts such rows in quarantine",
            )
        return total, peak

    taken = spread(take, n, threads)
    weights = _weights(weights, n)
    peak = max(top for _, top in taken)
    if frame is not None:
        shift, scale = frame
    elif spherical:
        shift, scale = np.zeros(d, np.float32), 1.0
    else:
        shift = (np.sum([total for total, _ in taken], axis=0) / n).astype(np.float32)
        reach = peak + float(np.abs(shift).max())
        scale = 1.0 if 1e-4 <= reach <= 1e4 or reach == 0 else float(2.0 ** -np.ceil(np.log2(reach)))

    def centre(first: int, last: int) -> None:
        part = work[first:last]
        if spherical:
            part /= max(peak, np.float32(1e-30))
            length = np.sqrt(np.einsum("ij,ij->i", part, part, dtype=np.float64))
            if not length.all():
                raise InputError(
                    "a row has no direction",
                    expected="rows of length above zero, because metric is cosine",
                    found=f"zeros in row {first + int(np.flatnonzero(length == 0)[0])}",
                    remedy="remove the row, or use metric: euclidean",
                )
            part /= length[:, None].astype(np.float32)
        move(part, shift, scale, norms[first:last])

    norms = np.empty(n, np.float32)
    spread(centre, n, threads)
    return Rows(work, weights, shift, scale, spherical, threads, norms)


def _weights(weights: Any, n: int) -> Floats:
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
def add_rows(x: Any, total: Any) -> None:
    """Add the rows of x (n, d) to total (d,) float64."""
    for i in range(x.shape[0]):
        for j in range(x.shape[1]):
            total[j] += x[i, j]


@kernel
def move(x: Any, shift: Any, scale: float, norms: Any) -> None:
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
def permute_rows(x: Any, order: Any) -> None:
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
