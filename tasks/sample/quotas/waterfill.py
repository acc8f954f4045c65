"""The compiled loops of allocation: fill many groups of clusters with water at once, and round to whole rows.

Group g is the clusters order[starts[g]:starts[g + 1]]; an empty order: as they are. Weights and floors of length 1 hold
for all. A cluster of weight 0 gives its floor. Ten million clusters pass through in under a second: a level found on a
sample brackets the true one, and only the few clusters that meet a bound inside the bracket are looked at again.
"""

import numpy as np
from numba import njit

from evenkeel.tasks.sample.hashing import FIRST, SECOND

SAMPLE = 64
LARGE = 1 << 16
FEW = 24
MARGIN = 0.03
TINY = 1e-100


@njit(cache=True, nogil=True)
def families(parents, groups):  # type: ignore[no-untyped-def]
    """Return the clusters sorted by parent, (n,) int64, and where each parent's children start, (groups + 1,) int64."""
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


@njit(cache=True, nogil=True)
def survey(weights, caps):  # type: ignore[no-untyped-def]
    """Return the first cluster whose weight is no finite number >= 0 (-1: none), and the largest weight that counts."""
    largest = 0.0
    if len(weights) < len(caps):
        return -1, 1.0
    for i in range(len(caps)):
        if not 0.0 <= weights[i] < np.inf:
            return i, largest
        if caps[i] > 0 and weights[i] > largest:
            largest = weights[i]
    return -1, largest


@njit(cache=True, nogil=True)
def sums_above(parents, groups, weights, floors, caps):  # type: ignore[no-untyped-def]
    """Return the sums of floors and of what clusters can give, per parent, (groups,) float64; no parents: one group."""
    least, most = np.zeros(groups), np.zeros(groups)
    for i in range(len(caps)):
        floor, cap, _ = _bounds(i, weights, floors, caps, 1.0)
        group = parents[i] if len(parents) else 0
        least[group] += floor
        most[group] += cap
    return least, most


@njit(cache=True, nogil=True)
def fill_groups(order, starts, weights, largest, floors, caps, targets, rows, start):  # type: ignore[no-untyped-def]
    """Return shares, (n,) float64, and whole quotas, (n,) int64, of every cluster; both sum to what each group gives.

    Shares are proportional to weights within floors and caps and sum to `targets`, which must lie between the sums of
    the group's floors and caps; quotas are the shares rounded as `round_groups` does, and sum to `rows`. largest: of
    the weights that count. start: as in `round_groups`.
    """
    shares, quotas = np.empty(len(caps)), np.empty(len(caps), np.int64)
    most = min(LARGE, int((starts[1:] - starts[:-1]).max()))
    floor, cap, weight, share = np.empty(most), np.empty(most), np.empty(most), np.empty(most)
    quota = np.empty(most, np.int64)
    for group in range(len(starts) - 1):
        first, last = starts[group], starts[group + 1]
        count = last - first
        if count > LARGE:
            level = _bracketed(order, first, last, weights, largest, floors, caps, targets[group])
            for j in range(first, last):
                i = order[j] if len(order) else j
                least, large, own = _bounds(i, weights, floors, caps, largest)
                shares[i] = min(max(level * own, least), large)
            _round(order, first, last, shares, quotas, rows[group], start)
            continue
        for j in range(count):
            i = order[first + j] if len(order) else first + j
            floor[j], cap[j], weight[j] = _bounds(i, weights, floors, caps, largest)
        level = _solve(floor[:count], cap[:count], weight[:count], 0.0, 0.0, targets[group], 0.0, np.inf)
        left = rows[group]
        for j in range(count):
            share[j] = min(max(level * weight[j], floor[j]), cap[j])
            quota[j] = np.int64(share[j] + 1e-9)
            left -= quota[j]
        if left != 0:
            _settle_few(order, first, share[:count], quota, left, start, weight)
        for j in range(count):
            i = order[first + j] if len(order) else first + j
            shares[i], quotas[i] = share[j], quota[j]
    return shares, quotas


@njit(cache=True, nogil=True)
def round_groups(order, starts, shares, targets, start):  # type: ignore[no-untyped-def]
    """Return whole quotas, (n,) int64: shares rounded down, and one more where draw / fraction is smallest.

    The quotas of a group sum to its target, which must be the sum of its shares rounded down or up. start: the state
    that the draws of clusters are hashed from (`evenkeel.tasks.sample.hashing.state`).
    """
    quotas = np.empty(len(shares), np.int64)
    for group in range(len(starts) - 1):
        _round(order, starts[group], starts[group + 1], shares, quotas, targets[group], start)
    return quotas


@njit(cache=True, nogil=True)
def _round(order, first, last, shares, quotas, target, start):  # type: ignore[no-untyped-def]
    """Write the whole quotas of one group."""
    left = target
    for j in range(first, last):
        i = order[j] if len(order) else j
        quotas[i] = np.int64(shares[i] + 1e-9)
        left -= quotas[i]
    if left != 0 and last > first:
        _settle(order, first, last, shares, quotas, left, start)


@njit(cache=True, nogil=True)
def _settle_few(order, first, share, quota, left, start, ranks):  # type: ignore[no-untyped-def]
    """Do as `_settle` does for the clusters at order[first:], whose shares and quotas lie side by side.

    ranks: room for as many numbers as there are shares.
    """
    change, sign, count = abs(left), 1 if left > 0 else -1, len(share)
    for j in range(count):
        i = order[first + j] if len(order) else first + j
        ranks[j] = _rank(i, share[j], quota[j], sign, start)
    limit = np.partition(ranks[:count], change - 1)[change - 1] if count > FEW else _smallest(ranks[:count], change)
    for under in (True, False):
        for j in range(count):
            if change > 0 and (ranks[j] < limit if under else ranks[j] == limit):
                quota[j] += sign
                change -= 1


@njit(cache=True, nogil=True)
def _smallest(values, place):  # type: ignore[no-untyped-def]
    """Return the `place`-th smallest of a few values, counted from 1."""
    for value in values:
        below, same = 0, 0
        for other in values:
            below += other < value
            same += other == value
        if below < place <= below + same:
            return value
    return np.inf


@njit(cache=True, nogil=True)
def _settle(order, first, last, shares, quotas, left, start):  # type: ignore[no-untyped-def]
    """Change the quotas of a group by `left` rows in all, one a cluster, the smallest ranks first."""
    change, sign = abs(left), 1 if left > 0 else -1
    reach = 10.0 / np.sqrt(change) if last - first > LARGE else np.inf
    limit = np.nan
    while np.isnan(limit):
        below, between = 0, np.empty(1024)
        found = 0
        for j in range(first, last):
            i = order[j] if len(order) else j
            rank = _rank(i, shares[i], quotas[i], sign, start)
            if rank < 1.0 - reach:
                below += 1
            elif rank <= 1.0 + reach or reach == np.inf:
                if found == len(between):
                    between = np.append(between, np.empty(found))
                between[found] = rank
                found += 1
        if below < change <= below + found:
            limit = np.partition(between[:found], change - below - 1)[change - below - 1]
        reach = np.inf
    for under in (True, False):
        for j in range(first, last):
            if change == 0:
                break
            i = order[j] if len(order) else j
            rank = _rank(i, shares[i], quotas[i], sign, start)
            if rank < limit if under else rank == limit:
                quotas[i] += sign
                change -= 1


@njit(cache=True, nogil=True)
def _rank(i, share, quota, sign, start):  # type: ignore[no-untyped-def]
    """Return where a cluster stands in line for one row more (draw / fraction), or for one less."""
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


@njit(cache=True, nogil=True)
def _bounds(i, weights, floors, caps, largest):  # type: ignore[no-untyped-def]
    """Return the least, the most and the weight of a cluster, relative to the largest; none so small as to overflow."""
    cap = caps[i]
    floor = min(floors[i] if len(floors) > 1 else floors[0], cap)
    if len(weights) == 1:
        return floor, cap, 1.0
    if weights[i] <= 0.0:
        return floor, floor, 0.0
    return floor, cap, max(min(weights[i], largest) / largest, TINY)


@njit(cache=True, nogil=True)
def _bracketed(order, first, last, weights, largest, floors, caps, target):  # type: ignore[no-untyped-def]
    """Solve sum(clip(level * weight, floor, cap)) = target for a large group, in a bracket around a sample's level.

    Only the clusters that meet a bound inside the bracket are kept to solve for; the others are summed.
    """
    floor, cap, weight = _members(order, first, last, SAMPLE, weights, largest, floors, caps)
    guess = _solve(floor, cap, weight, 0.0, 0.0, target * len(cap) / (last - first), 0.0, np.inf)
    low, high = guess * (1.0 - MARGIN), guess * (1.0 + MARGIN)
    fixed, slope, filled_low, filled_high, found = 0.0, 0.0, 0.0, 0.0, 0
    for j in range(first, last):
        least, most, own = _bounds(order[j] if len(order) else j, weights, floors, caps, largest)
        at_low, at_high = min(max(low * own, least), most), min(max(high * own, least), most)
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
            floor[found], cap[found], weight[found] = least, most, own
            found += 1
    if not filled_low <= target <= filled_high:
        floor, cap, weight = _members(order, first, last, 1, weights, largest, floors, caps)
        return _solve(floor, cap, weight, 0.0, 0.0, target, 0.0, np.inf)
    return _solve(floor[:found], cap[:found], weight[:found], fixed, slope, target, low, high)


@njit(cache=True, nogil=True)
def _members(order, first, last, step, weights, largest, floors, caps):  # type: ignore[no-untyped-def]
    """Return the least, the most and the weight of every `step`-th cluster of a group, float64 each."""
    count = (last - first + step - 1) // step
    floor, cap, weight = np.empty(count), np.empty(count), np.empty(count)
    for place in range(count):
        j = first + place * step
        floor[place], cap[place], weight[place] = _bounds(order[j] if len(order) else j, weights, floors, caps, largest)
    return floor, cap, weight


@njit(cache=True, nogil=True)
def _solve(floor, cap, weight, fixed, open_weight, target, low, high):  # type: ignore[no-untyped-def]
    """Solve fixed + level * open_weight + sum(clip(level * weight, floor, cap)) = target: Newton in a bracket."""
    least, slope, steepest = fixed, open_weight, 0.0
    for i in range(len(cap)):
        least += floor[i]
        if cap[i] > floor[i]:
            slope += weight[i]
            steepest = max(steepest, cap[i] / weight[i])
    if slope == 0.0 or target <= least:
        return low
    low = max(low, (target - least) / slope)
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
