"""Water-fill many groups of cells at once: shares proportional to weights, within floors and caps; compiled loops.

Ten million cells pass through in under a second: in a large group a level found on a sample brackets the true one, and
only the few cells that meet a bound inside the bracket are looked at again.
"""

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from evenkeel.tasks.sample.quotas.rounding import LARGE, Floats, Ints, round_group, settle_few

SAMPLE = 64
MARGIN = 0.03
TINY = 1e-100


class Groups(NamedTuple):
    """Which cells are in which group: group g is order[starts[g]:starts[g + 1]]; an empty order: the cells as they are.

    order: (n,) int64. starts: (groups + 1,) int64.
    """

    order: Ints
    starts: Ints


class Cells(NamedTuple):
    """What limits the share of each cell.

    weights, floors: (n,) float64, or (1,) where all cells have the same. caps: (n,) float64. largest: the largest
    weight of a cell that can give rows. A cell of weight 0 gives its floor.
    """

    weights: Floats
    floors: Floats
    caps: Floats
    largest: float


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def group_by_parent(parents: NDArray[np.int32], groups: int) -> tuple[Ints, Ints]:
    """Return `Groups` of cells with the same parent, as a tuple: order and starts."""
    starts = np.zeros(groups + 1, np.int64)
    for parent in parents:
        starts[parent + 1] += 1
    for group in range(groups):
        starts[group + 1] += starts[group]
    place, order = starts[:-1].copy(), np.empty(len(parents), np.int64)
    for i in range(len(parents)):
        order[place[parents[i]]] = i
        place[parents[i]] += 1
    return order, starts


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def check_weights(weights: Floats, caps: Floats) -> tuple[int, float]:
    """Return the first cell whose weight is no finite number >= 0 (-1: none), and the largest weight with a cap > 0."""
    largest = 0.0
    if len(weights) < len(caps):
        return -1, 1.0
    for i in range(len(caps)):
        if not 0.0 <= weights[i] < np.inf:
            return i, largest
        if caps[i] > 0 and weights[i] > largest:
            largest = weights[i]
    return -1, largest


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def sums_above(parents: NDArray[np.int32], groups: int, cells: Cells) -> tuple[Floats, Floats]:
    """Return the sums of floors and of what cells can give, per parent, (groups,) float64; no parents: one group."""
    lower, upper = np.zeros(groups), np.zeros(groups)
    for i in range(len(cells.caps)):
        floor, cap, _ = _bounds(i, cells, 1.0)
        group = parents[i] if len(parents) else 0
        lower[group] += floor
        upper[group] += cap
    return lower, upper


def fill_groups(groups: Groups, cells: Cells, targets: Floats, rows: Ints, start: np.uint64) -> tuple[Floats, Ints]:
    """Return the share, (n,) float64, and the whole quota, (n,) int64, of every cell.

    Shares are proportional to weights within floors and caps and sum to `targets`, which must lie between the sums of
    the group's floors and caps; quotas are the shares rounded as `round_shares` does, and sum to `rows`. start: as in
    `round_shares`. What fills large groups is compiled only where there is one.
    """
    widest = int(np.diff(groups.starts).max(initial=0))
    fill = _fill_small if widest <= LARGE else _fill_any
    shares, quotas = np.empty(len(cells.caps)), np.empty(len(cells.caps), np.int64)
    fill(groups, cells, targets, rows, start, np.empty((4, min(LARGE, widest))), shares, quotas)
    return shares, quotas


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _fill_small(
    groups: Groups,
    cells: Cells,
    targets: Floats,
    rows: Ints,
    start: np.uint64,
    room: Floats,
    shares: Floats,
    quotas: Ints,
) -> None:
    """Write shares and quotas of groups of at most LARGE cells. room: (4, largest group) for what is in between."""
    for group in range(len(groups.starts) - 1):
        _fill_one(group, groups, cells, targets[group], rows[group], start, room, shares, quotas)


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _fill_any(
    groups: Groups,
    cells: Cells,
    targets: Floats,
    rows: Ints,
    start: np.uint64,
    room: Floats,
    shares: Floats,
    quotas: Ints,
) -> None:
    """Write shares and quotas of groups of any size."""
    order, starts = groups.order, groups.starts
    for group in range(len(starts) - 1):
        first, last = starts[group], starts[group + 1]
        if last - first <= LARGE:
            _fill_one(group, groups, cells, targets[group], rows[group], start, room, shares, quotas)
            continue
        level = _bracketed(order, first, last, cells, targets[group])
        for j in range(first, last):
            i = order[j] if len(order) else j
            lower, upper, own = _bounds(i, cells, cells.largest)
            shares[i] = min(max(level * own, lower), upper)
        round_group(order, first, last, shares, quotas, rows[group], start)


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _fill_one(
    group: int,
    groups: Groups,
    cells: Cells,
    target: float,
    rows: int,
    start: np.uint64,
    room: Floats,
    shares: Floats,
    quotas: Ints,
) -> None:
    """Write shares and quotas of one group of at most LARGE cells."""
    order, first = groups.order, groups.starts[group]
    count = groups.starts[group + 1] - first
    floor, cap, weight, share = room[0, :count], room[1, :count], room[2, :count], room[3, :count]
    for j in range(count):
        i = order[first + j] if len(order) else first + j
        floor[j], cap[j], weight[j] = _bounds(i, cells, cells.largest)
    level = _solve(floor, cap, weight, 0.0, 0.0, target, 0.0, np.inf)
    quota, left = np.empty(count, np.int64), rows
    for j in range(count):
        share[j] = min(max(level * weight[j], floor[j]), cap[j])
        quota[j] = np.int64(share[j] + 1e-9)
        left -= quota[j]
    if left != 0:
        settle_few(order, first, share, quota, left, start, weight)
    for j in range(count):
        i = order[first + j] if len(order) else first + j
        shares[i], quotas[i] = share[j], quota[j]


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _bounds(i: int, cells: Cells, largest: float) -> tuple[float, float, float]:
    """Return the floor, the cap and the weight of a cell, relative to the largest; none so small as to overflow."""
    cap = cells.caps[i]
    floor = min(cells.floors[i] if len(cells.floors) > 1 else cells.floors[0], cap)
    if len(cells.weights) == 1:
        return floor, cap, 1.0
    if cells.weights[i] <= 0.0:
        return floor, floor, 0.0
    return floor, cap, max(min(cells.weights[i], largest) / largest, TINY)


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _bracketed(order: Ints, first: int, last: int, cells: Cells, target: float) -> float:
    """Solve sum(clip(level * weight, floor, cap)) = target for a large group, in a bracket around a sample's level.

    Only the cells that meet a bound inside the bracket are kept to solve for; the others are summed.
    """
    floor, cap, weight = _members(order, first, last, SAMPLE, cells)
    guess = _solve(floor, cap, weight, 0.0, 0.0, target * len(cap) / (last - first), 0.0, np.inf)
    low, high = guess * (1.0 - MARGIN), guess * (1.0 + MARGIN)
    fixed, slope, filled_low, filled_high, found = 0.0, 0.0, 0.0, 0.0, 0
    for j in range(first, last):
        lower, upper, own = _bounds(order[j] if len(order) else j, cells, cells.largest)
        at_low, at_high = min(max(low * own, lower), upper), min(max(high * own, lower), upper)
        filled_low += at_low
        filled_high += at_high
        if at_low == at_high:
            fixed += at_low
        elif at_low == low * own and at_high == high * own:
            slope += own
        else:
            if found == len(cap):
                more = np.empty(found)
                floor, cap, weight = np.append(floor, more), np.append(cap, more), np.append(weight, more)
            floor[found], cap[found], weight[found] = lower, upper, own
            found += 1
    if not filled_low <= target <= filled_high:
        floor, cap, weight = _members(order, first, last, 1, cells)
        found, fixed, slope, low, high = len(cap), 0.0, 0.0, 0.0, np.inf
    level: float = _solve(floor[:found], cap[:found], weight[:found], fixed, slope, target, low, high)
    return level


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _members(order: Ints, first: int, last: int, step: int, cells: Cells) -> tuple[Floats, Floats, Floats]:
    """Return the floor, the cap and the weight of every `step`-th cell of a group, float64 each."""
    count = (last - first + step - 1) // step
    floor, cap, weight = np.empty(count), np.empty(count), np.empty(count)
    for place in range(count):
        j = first + place * step
        floor[place], cap[place], weight[place] = _bounds(order[j] if len(order) else j, cells, cells.largest)
    return floor, cap, weight


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _solve(
    floor: Floats,
    cap: Floats,
    weight: Floats,
    fixed: float,
    open_weight: float,
    target: float,
    low: float,
    high: float,
) -> float:
    """Solve fixed + level * open_weight + sum(clip(level * weight, floor, cap)) = target: Newton in a bracket."""
    lower, slope, steepest = fixed, open_weight, 0.0
    for i in range(len(cap)):
        lower += floor[i]
        if cap[i] > floor[i]:
            slope += weight[i]
            steepest = max(steepest, cap[i] / weight[i])
    if slope == 0.0 or target <= lower:
        return low
    low = max(low, (target - lower) / slope)
    if high == np.inf:
        high = max(low, steepest)
    level = low
    for _ in range(300):
        filled, slope = fixed + level * open_weight, open_weight
        for i in range(len(cap)):
            share = level * weight[i]
            if share >= cap[i]:
                filled += cap[i]
            elif share <= floor[i]:
                filled += floor[i]
            else:
                filled += share
                slope += weight[i]
        if filled == target:
            break
        if filled < target:
            low = level
        else:
            high = level
        step = level + (target - filled) / slope if slope > 0 else high
        if not low < step < high:
            step = np.sqrt(low) * np.sqrt(high)
        if abs(step - level) <= 1e-15 * level:
            break
        level = step
    return level
