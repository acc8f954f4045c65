"""Allocate a target exactly: whole quotas over cells that sum to it and stay within floors and caps."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from evenkeel.infra.errors import RecipeError
from evenkeel.infra.hashing import state
from evenkeel.tasks.sample.quotas.tree import ClusterTree

if TYPE_CHECKING:
    from evenkeel.tasks.sample.quotas.waterfill import Groups

EQUAL = np.ones(1)
AS_THEY_ARE = np.empty(0, np.int64)


class Allocation(NamedTuple):
    """How many rows every cell gives.

    quotas: (n,) int64 rows. shares: (n,) float64, their expectation over seeds; inclusion probabilities follow it.
    """

    quotas: NDArray[np.int64]
    shares: NDArray[np.float64]


def water_fill(
    caps: NDArray[np.int64],
    target: int,
    *,
    weights: NDArray[np.float64] | None = None,
    floors: NDArray[np.int64] | None = None,
    seed: int = 0,
) -> Allocation:
    """Return quotas proportional to `weights` (equal without), within floors and caps.

    The quotas sum to `target`, or to the sum of caps where that is less. Shares are rounded at random by `seed`, so
    that their expectation is kept. With equal weights this is the largest cap x with sum(min(size, x)) <= target and
    one more for a random few (Vo et al. 2024, arXiv 2405.15613). Raises RecipeError where the floors alone exceed the
    target, and for negative, NaN or all-zero weights.
    """
    tree = ClusterTree(caps)
    return split(tree, caps, target, weights=[weights], floors=floors, seed=seed)


def split(
    tree: ClusterTree,
    caps: NDArray[np.int64],
    target: int,
    *,
    weights: list[NDArray[np.float64] | None] | None = None,
    floors: NDArray[np.int64] | None = None,
    seed: int = 0,
    top: Allocation | None = None,
) -> Allocation:
    """Return leaf quotas from splitting the target at the top of the tree and again inside every cluster.

    caps, floors: (k1,) int64, of each leaf. weights: per level, finest first; None = equal.
    top: the allocation of the top clusters where it is given; else they share the target.
    The published hierarchical rule (Vo et al. 2024) is the equal split at every level. Raises as `water_fill`.
    """
    from evenkeel.tasks.sample.quotas.waterfill import Cells, fill_groups, sums_above

    given = [
        EQUAL if part is None else np.ascontiguousarray(part, np.float64) for part in weights or [None] * tree.depth
    ]
    low = np.zeros(1) if floors is None else np.ascontiguousarray(floors, np.float64)
    high = np.ascontiguousarray(caps, np.float64)
    levels = []
    for level, parents in enumerate((*tree.parents, np.empty(0, np.int32))):
        levels.append(Cells(given[level], low, high, _largest_weight(given[level], high)))
        low, high = sums_above(parents, tree.widths[level + 1] if len(parents) else 1, levels[level])
    lower, upper = float(low[0]), float(high[0])
    if lower > target:
        raise RecipeError(
            "the floors alone exceed the target",
            expected=f"floors that sum to at most {target:,}",
            found=f"{int(lower):,}",
            where="sampling.floor",
            remedy="lower the floor or raise the target",
        )
    shares: NDArray[np.float64] = np.array([min(float(target), upper)])
    quotas: NDArray[np.int64] = shares.astype(np.int64)
    if top is not None:
        quotas, shares = top
    for level in range(tree.depth - (1 if top is None else 2), -1, -1):
        shares, quotas = fill_groups(_groups(tree, level), levels[level], shares, quotas, state(seed + level))
    return Allocation(quotas, shares)


def blend(allocations: Sequence[Allocation], seed: int = 0) -> Allocation:
    """Return the mean of allocations of one target, in whole rows; it keeps every bound that all of them keep."""
    from evenkeel.tasks.sample.quotas.rounding import round_shares

    shares: NDArray[np.float64] = np.mean([made.shares for made in allocations], axis=0)
    quotas = round_shares(shares, int(allocations[0].quotas.sum()), state(seed))
    return Allocation(quotas, shares)


def _groups(tree: ClusterTree, level: int) -> "Groups":
    """Return the clusters of a level grouped by parent; those of the top level are one group."""
    from evenkeel.tasks.sample.quotas.waterfill import Groups, group_by_parent

    if level == tree.depth - 1:
        return Groups(AS_THEY_ARE, np.array([0, tree.widths[level]]))
    return Groups(*group_by_parent(tree.parents[level], tree.widths[level + 1]))


def _largest_weight(weights: NDArray[np.float64], caps: NDArray[np.float64]) -> float:
    """Return the largest weight of a cluster that can give rows. Raises RecipeError for unusable weights."""
    from evenkeel.tasks.sample.quotas.waterfill import check_weights

    wrong, largest = check_weights(weights, caps)
    if wrong >= 0:
        raise RecipeError(
            "a weight is not a finite number >= 0", found=f"{weights[wrong]} at {wrong}", where="sampling.strategy"
        )
    if largest == 0.0 and caps.any():
        raise RecipeError(
            "all weights are zero, so there is nothing to sample",
            where="sampling.strategy",
            remedy="give at least one cluster, group or row a weight above zero",
        )
    return float(largest) or 1.0
