"""Float sums that come out the same in any order, to the last bit, so that parts of them can be made anywhere.

Numbers are cut in two: what is left of each on a coarse grid, and of the rest on a fine one. Units are so large that
float64 holds every sum of so many numbers exactly. Together both keep some 100 bits less twice those of the count.
"""

from typing import NamedTuple

import numpy as np

from evenkeel.infra.dtypes import Float32Array, Float64Array, Int32Array, Int64Array
from evenkeel.tasks.kmeans.device.arrays import Arrays
from evenkeel.tasks.kmeans.device.rows import DeviceRows
from evenkeel.tasks.kmeans.device.totals import counts_of, segments_of

DIGITS = 53  # of a float64
LEAST_UNIT = -120  # as a power of two: float32 holds this one and its inverse


class Grid(NamedTuple):
    """The units, powers of two, that coarse and fine parts of numbers are whole multiples of."""

    coarse: float
    fine: float


def grid_for(peak: float, count: int) -> Grid:
    """Return the grid for sums of up to `count` numbers whose absolute value is at most `peak`."""
    bits = int(np.ceil(np.log2(max(count, 1))))
    coarse = max(int(np.frexp(peak)[1]) + bits - DIGITS, LEAST_UNIT)
    return Grid(2.0**coarse, 2.0 ** max(coarse + bits - DIGITS - 1, LEAST_UNIT))


def cut(arrays: Arrays, x: Float32Array, grid: Grid) -> tuple[Float32Array, Float32Array]:
    """Return the coarse and the fine part of numbers, both of the shape of x."""
    xp, rest, found = arrays.xp, x, []
    for unit in grid:
        part = xp.rint(rest * np.float32(1 / unit)) * np.float32(unit)
        rest = rest - part
        found.append(part)
    return found[0], found[1]


def exact_total(arrays: Arrays, x: Float32Array, grid: Grid, axis: int | None = None) -> Float64Array:
    """Return the sums of the coarse and of the fine parts of numbers, (2, ...) float64 on this machine."""
    sums = [arrays.get(part.sum(axis=axis, dtype=np.float64)) for part in cut(arrays, x, grid)]
    return np.stack(sums)


def exact_sums(rows: DeviceRows, labels: Int32Array, k: int, grid: Grid) -> tuple[Float64Array, Int64Array]:
    """Return the sums of the rows of each of k labels, coarse and fine, (2, k, d) float64, and how many rows, (k,).

    Both are on this machine. grid: for the numbers of the rows.
    """
    arrays, xp = rows.arrays, rows.arrays.xp
    sums: Float64Array = xp.zeros((2, k, rows.shape[1]), np.float64)
    for first, last, x in rows.blocks():
        order, starts = segments_of(arrays, labels[first:last], k)
        for at, part in enumerate(cut(arrays, x, grid)):
            arrays.kernels.add_segments(part, None, order, starts, sums[at])
    return arrays.get(sums), counts_of(arrays, labels, k)
