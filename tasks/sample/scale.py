"""Scale the weights of rows so that the expected copies of every cell sum to what is wanted; a compiled loop."""

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
DIGITS = 2.0**40


def scale_of_cells(
    cell: Ints, weight: Floats, count: Ints, rest: Floats, wanted: Floats, copies: int
) -> NDArray[np.float64]:
    """Return the factor c of every cell for which the sum of min(copies, c * weight) is what is wanted, (cells,).

    cell, weight, count: (n,) entries, each of `count` rows of one weight > 0, in any order. rest: (cells,) the sum of
    the weights that are not among the entries, all too small to reach `copies`. wanted: (cells,). inf where all rows
    together give less than that, 0 where nothing is wanted. Rounded to 12 digits, so that c does not depend on how sums
    of floats were grouped.
    """
    order = np.lexsort((-weight, cell))
    starts = np.searchsorted(cell[order], np.arange(len(wanted) + 1))
    found: Floats = _scale(starts, weight[order], count[order].astype(np.float64), rest, wanted, float(copies))
    mantissa, exponent = np.frexp(found)
    rounded: Floats = np.where(np.isfinite(found), np.ldexp(np.rint(mantissa * DIGITS) / DIGITS, exponent), found)
    return rounded


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _scale(starts: Ints, weight: Floats, count: Floats, rest: Floats, wanted: Floats, copies: float) -> Floats:
    """Return the factors; entries of a cell lie side by side, the largest weight first."""
    factors = np.zeros(len(wanted))
    below = np.empty(len(weight))  # the sum of the weights from an entry on
    for i in range(len(wanted)):
        if wanted[i] <= 0:
            continue
        total = rest[i]
        for j in range(starts[i + 1] - 1, starts[i] - 1, -1):
            total += weight[j] * count[j]
            below[j] = total
        left, factors[i] = wanted[i], np.inf
        for j in range(starts[i], starts[i + 1]):
            if left / below[j] * weight[j] <= copies:
                factors[i] = left / below[j]
                break
            left -= copies * count[j]
        if factors[i] == np.inf and rest[i] > 0:
            factors[i] = left / rest[i]
    return factors
