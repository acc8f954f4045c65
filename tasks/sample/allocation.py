"""Exact allocation: whole quotas over clusters that sum to the target and stay within floors and caps."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from infra.errors import RecipeError
from tasks.sample.hashing import uniform
from tasks.sample.tree import ClusterTree


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
    from tasks.sample.waterfill import fill_groups, round_groups

    weights = weights or [None] * tree.depth
    bounds = [_bounds(caps, weights[0], floors)]
    for level, parents in enumerate(tree.parents, start=1):
        below = [np.bincount(parents, part, tree.widths[level]) for part in bounds[-1]]
        bounds.append(_bounds(below[1], weights[level], below[0]))
    least, most = bounds[-1]
    if least.sum() > target:
        raise RecipeError(
            "the floors alone exceed the target",
            expected=f"floors that sum to at most {target:,}",
            found=f"{int(least.sum()):,}",
            where="sampling.floor",
            remedy="lower the floor or raise the target",
        )
    shares: NDArray[np.float64] = np.array([min(float(target), most.sum())])
    quotas: NDArray[np.int64] = shares.astype(np.int64)
    if top is not None:
        quotas, shares = top
    for level in range(tree.depth - (1 if top is None else 2), -1, -1):
        order, starts = _families(tree, level)
        least, most = bounds[level]
        weight = _scaled(weights[level], most)
        shares = fill_groups(order, starts, weight, least, most, shares)
        draws = uniform(seed + level, np.arange(len(shares), dtype=np.uint64))
        quotas = round_groups(order, starts, shares, quotas, draws)
    return Allocation(quotas, shares)


def blend(allocations: Sequence[Allocation], seed: int = 0) -> Allocation:
    """Return the mean of allocations of one target, in whole rows; it keeps every bound that all of them keep."""
    from tasks.sample.waterfill import round_groups

    shares: NDArray[np.float64] = np.mean([made.shares for made in allocations], axis=0)
    target = allocations[0].quotas.sum(keepdims=True)
    order, starts = np.arange(len(shares)), np.array([0, len(shares)])
    draws = uniform(seed, np.arange(len(shares), dtype=np.uint64))
    return Allocation(round_groups(order, starts, shares, target, draws), shares)


def _bounds(
    caps: NDArray[Any], weights: NDArray[np.float64] | None, floors: NDArray[Any] | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the least and the most that clusters give, (n,) float64 each; weight zero gives no more than the floor."""
    most = np.ascontiguousarray(caps, np.float64)
    least = np.zeros(len(most)) if floors is None else np.minimum(floors, most)
    if weights is not None:
        _check(weights, most)
        most = np.where(weights > 0, most, least)
    return least, most


def _scaled(weights: NDArray[np.float64] | None, most: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return weights with 1 as the largest that counts, none so small that a quotient overflows, (n,) float64."""
    if weights is None:
        return np.ones(len(most))
    largest = weights[most > 0].max(initial=0.0) or 1.0
    relative = np.minimum(weights, largest) / largest
    return np.where(weights > 0, np.maximum(relative, 1e-100), 0.0)


def _families(tree: ClusterTree, level: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the clusters of a level sorted by parent, and where each parent's children start."""
    if level == tree.depth - 1:
        return np.arange(tree.widths[level]), np.array([0, tree.widths[level]])
    parents = tree.parents[level]
    order = np.argsort(parents, kind="stable")
    return order, np.concatenate([[0], np.cumsum(np.bincount(parents, minlength=tree.widths[level + 1]))])


def _check(weights: NDArray[np.float64], most: NDArray[np.float64]) -> None:
    wrong = ~(np.isfinite(weights) & (weights >= 0))
    if wrong.any():
        cluster = int(np.argmax(wrong))
        raise RecipeError(
            "a weight is not a finite number >= 0", found=f"{weights[cluster]} at {cluster}", where="sampling.strategy"
        )
    if most.any() and not weights[most > 0].any():
        raise RecipeError(
            "all weights are zero, so there is nothing to sample",
            where="sampling.strategy",
            remedy="give at least one cluster, group or row a weight above zero",
        )
