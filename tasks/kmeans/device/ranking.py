"""The three nearest centroids of every row, exactly, by a matrix product and a settling of what it leaves open.

A product finds eight candidates a row; |x - c|^2 of these, summed in float32 without products, ranks them. A row is
settled where its third is nearer than any other centroid can be by its product, whose error is bounded. The few that
are open are ranked by more exact products, and where even float32 leaves them open (many equal centroids), by comparing
with all. So the ranking depends neither on how exact products are nor on how rows are cut into batches.
"""

from typing import NamedTuple

import numpy as np

from evenkeel.infra.dtypes import Float32Array, Int32Array
from evenkeel.tasks.kmeans.device.arrays import CANDIDATES, NEAREST, Arrays
from evenkeel.tasks.kmeans.device.batches import batch_size, in_batches
from evenkeel.tasks.kmeans.device.rows import DeviceRows
from evenkeel.tasks.kmeans.options import Products

ROUNDING = 2.0**-21  # of |x|^2 + |c|^2: what a score and a squared distance in float32 are off by
TOO_MANY_OPEN = 0.25
TF32_BITS = 0xFFFFE000  # sign, exponent and the first 10 bits of a float32's mantissa


class Ranked(NamedTuple):
    """The three nearest centroids of every row, (n, 3) int32, -1 = none, and their squared distances, (n, 3)."""

    ids: Int32Array
    gaps: Float32Array


class Centroids(NamedTuple):
    """Points, (k, d), half their squared norms, (k,), and the largest norm, all on the device."""

    points: Float32Array
    half: Float32Array
    longest: Float32Array


def product_error(products: Products, d: int) -> float:
    """Return a bound on the error of a product as a share of |x| |c|.

    float32: d roundings. tf32: both factors lose all after 10 bits, 2^-10 each, and tensor cores may cut sums off where
    float32 rounds. tf32x3: the rests of the factors take part, less their own loss and the product of the rests.
    """
    exact = d * 2.0**-23
    return {"float32": exact, "tf32": 2.0**-9 + 2.0**-20 + 2 * exact, "tf32x3": 2.0**-18 + 6 * exact}[products]


def centroids_of(arrays: Arrays, points: Float32Array) -> Centroids:
    """Return (k, d) points with what ranking needs of them."""
    squared = (points * points).sum(axis=1)
    return Centroids(points, squared * np.float32(0.5), arrays.xp.sqrt(squared.max()))


def multiply(arrays: Arrays, a: Float32Array, b: Float32Array, out: Float32Array, products: Products) -> None:
    """Write a @ b to out, with errors up to `product_error`."""
    if products != "tf32x3":
        arrays.matmul(a, b, out, products == "tf32")
        return
    a_high, b_high = _high(arrays, a), _high(arrays, b)
    rest = arrays.xp.empty_like(out)
    arrays.matmul(a_high, b - b_high, out, True)
    arrays.matmul(a - a_high, b_high, rest, True)
    out += rest
    arrays.matmul(a_high, b_high, rest, True)
    out += rest


def rank_block(
    arrays: Arrays, x: Float32Array, norms: Float32Array, centroids: Centroids, products: Products, out: Ranked
) -> int:
    """Rank the three nearest of k points for (m, d) rows; fills `out`, returns how many rows products left open."""
    xp, k = arrays.xp, len(centroids.points)
    scores, ids = xp.empty((len(x), CANDIDATES), np.float32), xp.empty((len(x), CANDIDATES), np.int32)
    table = xp.empty((len(x), k), np.float32)
    multiply(arrays, x, centroids.points.T, table, products)
    arrays.kernels.candidates(table, centroids.half, ids, scores)
    del table
    arrays.kernels.settle(x, centroids.points, ids, out.ids, out.gaps)
    if k <= CANDIDATES:
        return 0
    slack = xp.sqrt(norms) * centroids.longest * np.float32(product_error(products, x.shape[1]))
    slack += (norms + centroids.longest**2) * np.float32(ROUNDING)
    third = (out.gaps[:, NEAREST - 1] - norms) * np.float32(0.5)
    rest = xp.flatnonzero(third >= scores[:, CANDIDATES - 1] - slack)
    if len(rest):
        again = Ranked(xp.empty((len(rest), NEAREST), np.int32), xp.empty((len(rest), NEAREST), np.float32))
        if products == "float32":
            arrays.kernels.compare_all(x[rest], centroids.points, again.ids, again.gaps)
        else:
            rank_block(arrays, x[rest], norms[rest], centroids, "float32", again)
        out.ids[rest], out.gaps[rest] = again
    return len(rest)


class Ranker:
    """Compares every row with every centroid, by products as exact as asked for while these leave few rows open."""

    def __init__(self, arrays: Arrays, products: Products) -> None:
        self.arrays, self.products = arrays, products

    def rank(self, rows: DeviceRows, points: Float32Array) -> Ranked:
        """Return the three nearest of (k, d) points to every row."""
        xp, n = self.arrays.xp, len(rows)
        centroids = centroids_of(self.arrays, points)
        out = Ranked(xp.empty((n, NEAREST), np.int32), xp.empty((n, NEAREST), np.float32))
        batch = batch_size(self.arrays, bytes_of(len(points), rows.shape[1], self.products))
        for first, last, x in rows.blocks():

            def work(low: int, high: int, x: Float32Array = x, first: int = first) -> None:
                here = slice(first + low, first + high)
                part = Ranked(out.ids[here], out.gaps[here])
                left = rank_block(self.arrays, x[low:high], rows.norms[here], centroids, self.products, part)
                if left > TOO_MANY_OPEN * (high - low):
                    self.products = "float32"

            batch = in_batches(self.arrays, last - first, batch, work, "to compare rows with all centroids")
        return out


def bytes_of(k: int, d: int, products: Products) -> int:
    """Return the bytes of working space a row takes while it is ranked among k points."""
    return 4 * ((2 if products == "tf32x3" else 1) * k + 3 * d + 4 * CANDIDATES)


def _high(arrays: Arrays, a: Float32Array) -> Float32Array:
    """Return numbers cut to the 10 bits of mantissa of TF32."""
    cut: Float32Array = (arrays.xp.ascontiguousarray(a).view(np.uint32) & np.uint32(TF32_BITS)).view(np.float32)
    return cut
