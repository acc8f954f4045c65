"""Exact allocation: whole quotas over clusters that sum to the target and stay within floors and caps."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from evenkeel.infra.errors import RecipeError
from evenkeel.tasks.sample.hashing import state
from evenkeel.tasks.sample.quotas.tree import ClusterTree

EQUAL = np.ones(1)
AS_THEY_ARE = np.empty(0, np.int64)


class Allocation(NamedTuple):
    """What every cluster gives.

    quotas: (n,) int64 rows. shares: (n,) float64, their expectation over seeds, which inclusion probabilities follow.
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

    caps, floors: (k1,) int64 the most and the least of each leaf. weights: per level, finest first; None = equal.
    top: what the top clusters give, where that is settled; else they share the target.
    The published hierarchical rule (Vo et al. 2024) is the equal split at every level. Raises as `water_fill`.
    """
    from evenkeel.tasks.sample.quotas.waterfill import fill_groups, sums_above

    given = [
        EQUAL if part is None else np.ascontiguousarray(part, np.float64) for part in weights or [None] * tree.depth
    ]
    least = np.zeros(1) if floors is None else np.ascontiguousarray(floors, np.float64)
    bounds, largest = [(least, np.ascontiguousarray(caps, np.float64))], []
    for level, parents in enumerate((*tree.parents, np.empty(0, np.int32))):
        largest.append(_largest(given[level], bounds[level][1]))
        width = tree.widths[level + 1] if len(parents) else 1
        bounds.append(sums_above(parents, width, given[level], *bounds[level]))
    needed, most = (float(part[0]) for part in bounds[-1])
    if needed > target:
        raise RecipeError(
            "the floors alone exceed the target",
            expected=f"floors that sum to at most {target:,}",
            found=f"{int(needed):,}",
            where="sampling.floor",
            remedy="lower the floor or raise the target",
        )
    shares: NDArray[np.float64] = np.array([min(float(target), most)])
    quotas: NDArray[np.int64] = shares.astype(np.int64)
    if top is not None:
        quotas, shares = top
    for level in range(tree.depth - (1 if top is None else 2), -1, -1):
        order, starts = _families(tree, level)
        draws = state(seed + level)
        shares, quotas = fill_groups(order, starts, given[level], largest[level], *bounds[level], shares, quotas, draws)
    return Allocation(quotas, shares)


def blend(allocations: Sequence[Allocation], seed: int = 0) -> Allocation:
    """Return the mean of allocations of one target, in whole rows; it keeps every bound that all of them keep."""
    from evenkeel.tasks.sample.quotas.waterfill import round_groups

    shares: NDArray[np.float64] = np.mean([made.shares for made in allocations], axis=0)
    target = allocations[0].quotas.sum(keepdims=True)
    quotas = round_groups(AS_THEY_ARE, np.array([0, len(shares)]), shares, target, state(seed))
    return Allocation(quotas, shares)


def _families(tree: ClusterTree, level: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the clusters of a level sorted by parent, and where each parent's children start."""
    from evenkeel.tasks.sample.quotas.waterfill import families

    if level == tree.depth - 1:
        return AS_THEY_ARE, np.array([0, tree.widths[level]])
    found: tuple[NDArray[np.int64], NDArray[np.int64]] = families(tree.parents[level], tree.widths[level + 1])
    return found


def _largest(weights: NDArray[np.float64], caps: NDArray[np.float64]) -> float:
    """Return the largest weight of a cluster that can give rows. Raises RecipeError for weights that are none."""
    from evenkeel.tasks.sample.quotas.waterfill import survey

    wrong, largest = survey(weights, caps)
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
