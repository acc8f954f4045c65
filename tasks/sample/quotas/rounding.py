"""Round fractional shares to whole quotas at random, so that every cell's expectation is kept; compiled loops.

A group's cells are `order[first:last]`; an empty order means the cells as they are. Rounding down leaves some rows of a
group over. They go to the cells with the smallest draw / fraction, one each, the draw being hashed from the cell's
number.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from evenkeel.infra.hashing import FIRST, SECOND

LARGE = 1 << 16
FEW = 24

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def round_shares(shares: Floats, target: int, start: np.uint64) -> Ints:
    """Return whole quotas, (n,) int64: shares rounded down, and one more where draw / fraction is smallest.

    They sum to `target`, which must be the sum of the shares rounded down or up. start: the state that the draws are
    hashed from (`evenkeel.infra.hashing.state`). What rounds very many is compiled only for them.
    """
    quotas: Ints = (shares + 1e-9).astype(np.int64)
    left, all_cells = target - int(quotas.sum()), np.empty(0, np.int64)
    if left and len(shares) <= LARGE:
        settle_few(all_cells, 0, shares, quotas, left, start, np.empty(len(shares)))
    elif left:
        round_group(all_cells, 0, len(shares), shares, quotas, target, start)
    return quotas


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def round_group(
    order: Ints, first: int, last: int, shares: Floats, quotas: Ints, target: int, start: np.uint64
) -> None:
    """Write the whole quotas of one group."""
    left = target
    for j in range(first, last):
        i = order[j] if len(order) else j
        quotas[i] = np.int64(shares[i] + 1e-9)
        left -= quotas[i]
    if left != 0 and last > first:
        _settle(order, first, last, shares, quotas, left, start)


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def settle_few(order: Ints, first: int, share: Floats, quota: Ints, left: int, start: np.uint64, ranks: Floats) -> None:
    """Change the quotas of a small group by `left` rows in all, one a cell, the smallest ranks first.

    share, quota: of the cells order[first:], side by side. ranks: a buffer of at least their length.
    """
    change, sign, count = abs(left), 1 if left > 0 else -1, len(share)
    for j in range(count):
        i = order[first + j] if len(order) else first + j
        ranks[j] = _rank(i, share[j], quota[j], sign, start)
    limit = nth_smallest(ranks[:count].copy(), change) if count > FEW else _smallest(ranks[:count], change)
    for under in (True, False):
        for j in range(count):
            if change > 0 and (ranks[j] < limit if under else ranks[j] == limit):
                quota[j] += sign
                change -= 1


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _smallest(values: Floats, place: int) -> float:
    """Return the `place`-th smallest of a few values, counted from 1."""
    for value in values:
        below, same = 0, 0
        for other in values:
            below += other < value
            same += other == value
        if below < place <= below + same:
            return float(value)
    return np.inf


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def nth_smallest(values: Floats, place: int) -> float:
    """Return the `place`-th smallest of the values, counted from 1; they are put in another order.

    Quickselect with the middle of three as pivot. Numba compiles its own np.partition in ten times the time.
    """
    first, last, wanted = 0, len(values) - 1, place - 1
    while first < last:
        low, middle, high = values[first], values[(first + last) // 2], values[last]
        pivot = max(min(low, middle), min(max(low, middle), high))
        i, j = first, last
        while i <= j:
            while values[i] < pivot:
                i += 1
            while pivot < values[j]:
                j -= 1
            if i <= j:
                values[i], values[j] = values[j], values[i]
                i += 1
                j -= 1
        if wanted <= j:
            last = j
        elif wanted >= i:
            first = i
        else:
            break
    return float(values[wanted])


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _settle(order: Ints, first: int, last: int, shares: Floats, quotas: Ints, left: int, start: np.uint64) -> None:
    """Change the quotas of a group by `left` rows in all, one a cell, the smallest ranks first.

    A large group is searched near the rank where the last row should fall; where that fails, as a whole.
    """
    change, sign = abs(left), 1 if left > 0 else -1
    margin = 10.0 / np.sqrt(change) if last - first > LARGE else np.inf
    limit = np.nan
    while np.isnan(limit):
        below, between = 0, np.empty(1024)
        found = 0
        for j in range(first, last):
            i = order[j] if len(order) else j
            rank = _rank(i, shares[i], quotas[i], sign, start)
            if rank < 1.0 - margin:
                below += 1
            elif rank <= 1.0 + margin or margin == np.inf:
                if found == len(between):
                    between = np.append(between, np.empty(found))
                between[found] = rank
                found += 1
        if below < change <= below + found:
            limit = nth_smallest(between[:found], change - below)
        margin = np.inf
    for under in (True, False):
        for j in range(first, last):
            if change == 0:
                break
            i = order[j] if len(order) else j
            rank = _rank(i, shares[i], quotas[i], sign, start)
            if rank < limit if under else rank == limit:
                quotas[i] += sign
                change -= 1


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _rank(i: int, share: float, quota: int, sign: int, start: np.uint64) -> float:
    """Return the priority of a cell for one row more (draw / fraction) or one row less; the smallest goes first."""
    fraction = share - quota
    if sign < 0:
        return fraction if quota > 0 else np.inf
    if fraction <= 1e-9:
        return np.inf
    z = np.uint64(i) ^ start
    z = (z ^ (z >> np.uint64(30))) * FIRST
    z = (z ^ (z >> np.uint64(27))) * SECOND
    z ^= z >> np.uint64(31)
    return (np.float64(z >> np.uint64(11)) + 0.5) * 2.0**-53 / fraction
