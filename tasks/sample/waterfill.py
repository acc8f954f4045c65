"""The compiled loops of allocation: fill many groups of clusters with water at once, and round to whole rows."""

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def fill_groups(order, starts, weights, floors, caps, targets):  # type: ignore[no-untyped-def]
    """Return shares, (n,) float64, proportional to weights within floors and caps, that sum to each group's target.

    order: (n,) int64 clusters sorted by group; group g is order[starts[g]:starts[g + 1]]. Each target must lie between
    the sums of the group's floors and caps.
    """
    shares = np.empty(len(order), np.float64)
    for group in range(len(starts) - 1):
        members = order[starts[group] : starts[group + 1]]
        level = _water_level(members, weights, floors, caps, targets[group])
        for i in members:
            shares[i] = min(max(level * weights[i], floors[i]), caps[i])
    return shares


@njit(cache=True, nogil=True)
def round_groups(order, starts, shares, targets, draws):  # type: ignore[no-untyped-def]
    """Return whole quotas, (n,) int64: shares rounded down, and one more for the smallest draw per open fraction.

    The quotas of a group sum to its target, which must be the sum of its shares rounded down or up.
    draws: (n,) float64 in (0, 1).
    """
    quotas = np.empty(len(order), np.int64)
    for group in range(len(starts) - 1):
        members = order[starts[group] : starts[group + 1]]
        left = targets[group]
        for i in members:
            quotas[i] = np.int64(shares[i] + 1e-9)
            left -= quotas[i]
        if left == 0 or len(members) == 0:
            continue
        rank = np.empty(len(members))
        for j, i in enumerate(members):
            fraction = shares[i] - quotas[i]
            if left < 0:
                rank[j] = fraction if quotas[i] > 0 else np.inf
            else:
                rank[j] = draws[i] / fraction if fraction > 1e-9 else np.inf
        change, sign = abs(left), 1 if left > 0 else -1
        limit = np.partition(rank, change - 1)[change - 1]
        for below in (True, False):
            for j, i in enumerate(members):
                if change > 0 and (rank[j] < limit if below else rank[j] == limit):
                    quotas[i] += sign
                    change -= 1
    return quotas


@njit(cache=True, nogil=True)
def _water_level(members, weights, floors, caps, target):  # type: ignore[no-untyped-def]
    """Solve sum(clip(level * weight, floor, cap)) = target: Newton on a piecewise linear function, in a bracket."""
    weight, least, high = 0.0, 0.0, 0.0
    for i in members:
        least += floors[i]
        if caps[i] > floors[i]:
            weight += weights[i]
            high = max(high, caps[i] / weights[i])
    if weight == 0.0 or target <= least:
        return 0.0
    low = (target - least) / weight
    level = low
    for _ in range(300):
        filled, slope = 0.0, 0.0
        for i in members:
            share = level * weights[i]
            if share >= caps[i]:
                filled += caps[i]
            elif share <= floors[i]:
                filled += floors[i]
            else:
                filled += share
                slope += weights[i]
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
