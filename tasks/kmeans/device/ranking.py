"""The three nearest centroids of every row, exactly, by a matrix product and a settling of what it leaves possible.

A product tells which centroids can be among the three nearest of a row, given how far it can be off; |x - c|^2 of
these, summed in float32 without products, ranks them. Rows that have more than 32 such centroids are open: they are
ranked by more exact products, and where even float32 leaves too many (equal centroids), by comparing with all. So the
ranking depends neither on how exact products are nor on how rows are cut into batches.

How far a product can be off is bounded under the assumption that the roundings of its terms are independent
(Hoeffding's inequality), and what it is off for the candidates is seen: a row for which that comes near the bound is
open too. So rows for which the assumption is wrong, such as those of equal numbers, are settled in float32.
"""

from typing import NamedTuple

import numpy as np

from evenkeel.infra.dtypes import BoolArray, Float32Array, Int32Array, Int64Array
from evenkeel.tasks.kmeans.device.arrays import CANDIDATES, NEAREST, Arrays, Seen
from evenkeel.tasks.kmeans.device.batches import batch_size, in_batches
from evenkeel.tasks.kmeans.device.rows import DeviceRows, quartic_norms
from evenkeel.tasks.kmeans.options import Products

ROUNDING = 2.0**-21  # of |x|^2 + |c|^2: what a score and a squared distance in float32 are off by
TOO_MANY_OPEN = 0.6
SAFETY = 4.5  # a sum of independent roundings is off by more in fewer than 1 of 10,000, as a rule in 1 of 10^14
NEAR_THE_BOUND = 0.8
MORE_EXACT: dict[Products, Products] = {"tf32": "tf32x3", "tf32x3": "float32", "float32": "float32"}


class Ranked(NamedTuple):
    """The three nearest centroids of every row, (n, 3) int32, -1 = none, and their squared distances, (n, 3)."""

    ids: Int32Array
    gaps: Float32Array


class Centroids(NamedTuple):
    """Points that rows are compared with, on the device, in g lists: one for all rows, or one for each group of rows.

    points: (k, d). half: (g, m) half their squared norms. longest, quartic: (g,) the largest norm of a list, and the
    largest fourth root of a sum of fourth powers.
    """

    points: Float32Array
    half: Float32Array
    longest: Float32Array
    quartic: Float32Array


class ProductError(NamedTuple):
    """Bounds on the error of a product: as a share of |x| |c|, and of the same by norms of fourth powers."""

    whole: float
    spread: float


def product_error(products: Products, d: int) -> ProductError:
    """Return how far a product of d terms can be off.

    float32: d independent roundings. tf32: both factors are rounded to 11 bits, 2^-11 each, and tensor cores may cut
    sums off where float32 rounds, after every fourth term at most. tf32x3: the rests of the factors take part, less
    what these lose and the product of the rests.
    """
    cut = d / 4 * 2.0**-23
    return {
        "float32": ProductError(min(d, 2 * SAFETY * np.sqrt(d)) * 2.0**-24, 0.0),
        "tf32": ProductError(cut, SAFETY * 2**0.5 * 2.0**-11),
        "tf32x3": ProductError(2.0**-20 + 2.0**-22 + (1 + 2.0**-10) * cut, 0.0),
    }[products]


def centroids_of(arrays: Arrays, points: Float32Array) -> Centroids:
    """Return (k, d) points as one list for all rows."""
    squared = (points * points).sum(axis=1)
    largest = [one.max().reshape(1) for one in (arrays.xp.sqrt(squared), quartic_norms(arrays, points))]
    return Centroids(points, (squared * np.float32(0.5)).reshape(1, -1), *largest)


class Factor(NamedTuple):
    """Rows or points as products take them, (m, d): rounded to TF32 or as they are, and what rounding took away."""

    high: Float32Array
    rest: Float32Array | None

    def part(self, low: int, high: int) -> "Factor":
        """Return some of the rows."""
        return Factor(self.high[low:high], None if self.rest is None else self.rest[low:high])


def factor_of(arrays: Arrays, a: Float32Array, products: Products) -> Factor:
    """Return (m, d) rows or points as a factor of products of some kind."""
    if products == "float32":
        return Factor(a, None)
    high: Float32Array = arrays.xp.empty_like(a)
    arrays.kernels.rounded(a, high)
    return Factor(high, a - high if products == "tf32x3" else None)


def multiply(arrays: Arrays, a: Factor, b: Factor, out: Float32Array, products: Products) -> None:
    """Write (m, d) @ (k, d).T to out, with errors up to `product_error`."""
    arrays.matmul(a.high, b.high.T, out, products != "float32")
    if a.rest is not None and b.rest is not None:
        more = arrays.xp.empty_like(out)
        for one, other in ((a.high, b.rest), (a.rest, b.high)):
            arrays.matmul(one, other.T, more, True)
            out += more


class Compared(NamedTuple):
    """Rows and what ranking needs of them, m of them on the device.

    x: (m, d). norms, quartic: (m,) as of `DeviceRows`. which: (m,) int32 the list of centroids of every row, None = the
    only one.
    """

    x: Float32Array
    norms: Float32Array
    quartic: Float32Array
    which: Int32Array | None = None

    def take(self, index: Int64Array) -> "Compared":
        """Return the rows at `index`."""
        which = None if self.which is None else self.which[index]
        return Compared(self.x[index], self.norms[index], self.quartic[index], which)


def slack_of(arrays: Arrays, rows: Compared, lists: Centroids, products: Products) -> Float32Array:
    """Return how far |c|^2 / 2 - x c, which orders centroids as |x - c|^2 does, can be off for every row, (m,)."""
    error = product_error(products, rows.x.shape[1])
    longest, quartic = (one if rows.which is None else one[rows.which] for one in (lists.longest, lists.quartic))
    slack: Float32Array = arrays.xp.sqrt(rows.norms) * longest * np.float32(error.whole)
    slack += rows.quartic * quartic * np.float32(error.spread)
    slack += (rows.norms + longest * longest) * np.float32(ROUNDING)
    return slack


class Possible(NamedTuple):
    """What products leave possible for every row: ids and scores (m, 32), and how many there are, (m,)."""

    ids: Int32Array
    scores: Float32Array
    counts: Int32Array


def possible(
    arrays: Arrays, table: Float32Array, lists: Centroids, which: Int32Array | None, slack: Float32Array
) -> Possible:
    """Return the centroids that can be among the three nearest, by a table of products, (m, k); -1 = no more."""
    xp, shape = arrays.xp, (len(table), CANDIDATES)
    found = Possible(xp.full(shape, -1, np.int32), xp.zeros(shape, np.float32), xp.empty(len(table), np.int32))
    arrays.kernels.candidates(table, lists.half, which, slack, *found)
    return found


def still_open(arrays: Arrays, found: Possible, seen: Seen, slack: Float32Array, products: Products) -> Int64Array:
    """Return the rows that are open, ascending: more centroids are possible than were kept, or products are off far.

    seen: how far products were off for those that were kept.
    """
    rows: BoolArray = found.counts > CANDIDATES
    if products == "tf32":
        rows |= seen.worst > slack * np.float32(NEAR_THE_BOUND)
    return arrays.xp.flatnonzero(rows)  # type: ignore[no-any-return]


def settle_possible(
    arrays: Arrays,
    table: Float32Array,
    rows: Compared,
    lists: Centroids,
    products: Products,
    out: Ranked,
    points: Float32Array,
    place: Int32Array | None = None,
) -> Int64Array:
    """Rank what a table of products, (m, q), leaves possible; fills `out`, returns the rows that are open, ascending.

    points: (k, d). place: (lists, q) which of them the columns of the table are, None = each the one of its number.
    """
    xp, slack = arrays.xp, slack_of(arrays, rows, lists, products)
    found = possible(arrays, table, lists, rows.which, slack)
    among = found.ids
    if place is not None and rows.which is not None:
        among = xp.where(among >= 0, place[rows.which[:, None], xp.maximum(among, 0)], np.int32(-1))
    seen = Seen(found.scores, rows.norms, xp.empty(len(table), np.float32))
    arrays.kernels.settle(rows.x, points, among, out.ids, out.gaps, seen)
    return still_open(arrays, found, seen, slack, products)


def rank_block(arrays: Arrays, rows: Compared, lists: Centroids, products: Products, out: Ranked) -> int:
    """Rank the three nearest of k points for m rows; fills `out`, returns how many rows products left open."""
    table = arrays.xp.empty((len(rows.x), len(lists.points)), np.float32)
    a, b = (factor_of(arrays, one, products) for one in (rows.x, lists.points))
    multiply(arrays, a, b, table, products)
    del a, b
    rest = settle_possible(arrays, table, rows, lists, products, out, lists.points)
    del table
    if len(rest):
        again = empty_ranking(arrays, len(rest))
        if products == "float32":
            arrays.kernels.compare_all(rows.x[rest], lists.points, again.ids, again.gaps)
        else:
            rank_block(arrays, rows.take(rest), lists, MORE_EXACT[products], again)
        out.ids[rest], out.gaps[rest] = again
    return len(rest)


def empty_ranking(arrays: Arrays, n: int) -> Ranked:
    """Return room for the ranking of n rows."""
    return Ranked(arrays.xp.empty((n, NEAREST), np.int32), arrays.xp.empty((n, NEAREST), np.float32))


class Ranker:
    """Compares every row with every centroid, by products as exact as asked for while these leave few rows open."""

    def __init__(self, arrays: Arrays, products: Products) -> None:
        self.arrays, self.products = arrays, products

    def rank(self, rows: DeviceRows, points: Float32Array) -> Ranked:
        """Return the three nearest of (k, d) points to every row."""
        lists, out = centroids_of(self.arrays, points), empty_ranking(self.arrays, len(rows))
        batch = batch_size(self.arrays, bytes_of(len(points), rows.shape[1], self.products))
        for first, last, x in rows.spans():

            def work(low: int, high: int, x: Float32Array = x, first: int = first) -> None:
                here = slice(first + low, first + high)
                part = Ranked(out.ids[here], out.gaps[here])
                compared = Compared(x[low:high], rows.norms[here], rows.quartic[here])
                left = rank_block(self.arrays, compared, lists, self.products, part)
                if left > TOO_MANY_OPEN * (high - low):
                    self.products = MORE_EXACT[self.products]

            batch = in_batches(self.arrays, last - first, batch, work, "to compare rows with all centroids")
        return out


def bytes_of(k: int, d: int, products: Products) -> int:
    """Return the bytes of working space a row takes while it is ranked among k points."""
    return 4 * ((2 if products == "tf32x3" else 1) * k + 4 * d + 8 * CANDIDATES)
