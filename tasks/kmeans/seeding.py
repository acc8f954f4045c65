"""First centroids. Rows are in working coordinates; every choice comes from `rng`."""

import numpy as np

from evenkeel.infra.dtypes import Float32Array, Float64Array, Int32Array, Int64Array
from evenkeel.tasks.kmeans import kernels
from evenkeel.tasks.kmeans.kernels import InvertedLists, WeightedRows, kernel, squared_gap
from evenkeel.tasks.kmeans.lloyd import invert, squared_distances
from evenkeel.tasks.kmeans.parallel import parallel_for
from evenkeel.tasks.kmeans.prepare import PreparedRows


def seed_random(rows: PreparedRows, k: int, rng: np.random.Generator) -> Float32Array:
    """Return k different rows of weight above zero, (k, d); fewer where there are fewer."""
    heavy = np.flatnonzero(rows.weights) if rows.weights.size else np.arange(len(rows.x))
    return np.take(rows.x, np.sort(rng.choice(heavy, size=min(k, len(heavy)), replace=False)), axis=0)


def seed_plus_plus(rows: PreparedRows, k: int, rng: np.random.Generator) -> Float32Array:
    """Return k-means++ seeds, (k, d): each drawn in proportion to weight x D^2 (Arthur & Vassilvitskii 2007).

    k passes over the rows: the reference for quality, and the choice for small k. Fewer seeds come back where all
    rows lie on one already.
    """
    n = len(rows.x)
    weights = rows.weights.astype(np.float64) if rows.weights.size else None
    squared = np.full(n, np.inf, np.float32)
    chosen = [_draw(np.ones(n) if weights is None else weights, rng)]
    while len(chosen) < k:
        seed = rows.x[chosen[-1]]
        parallel_for(
            lambda first, last, seed=seed: kernels.lower_to(rows.x, first, last, seed, squared),  # type: ignore[misc]
            n,
            rows.threads,
        )
        error = squared.astype(np.float64) if weights is None else squared * weights
        if not error.any():
            break
        chosen.append(_draw(error, rng))
    return np.take(rows.x, chosen, axis=0)


def seed_grouped(
    rows: PreparedRows, coarse: Float32Array, groups: Int32Array, k: int, rng: np.random.Generator
) -> Float32Array:
    """Return first centroids by k-means++ inside every group on its own, (<= k, d): n sqrt(k) products in all.

    coarse: (g, d) coarse centroids. groups: (n,) int32, the nearest of them to every row. The number of seeds of a
    group follows half its share of the rows and half its share of the error; it never exceeds the group's rows.
    """
    size, weights = len(coarse), rows.weights if rows.weights.size else None
    error = squared_distances(rows, coarse, groups) * (1 if weights is None else weights)
    weight_of = np.bincount(groups, weights=weights, minlength=size).astype(np.float64)
    error_of = np.bincount(groups, weights=error, minlength=size)
    share = weight_of / weight_of.sum() + (error_of / error_of.sum() if error_of.any() else 0)
    counts = apportion(share, k, np.bincount(groups, minlength=size))
    place = np.concatenate(([0], np.cumsum(counts)))
    lists = invert(groups, size)
    seeds, squared, draws = np.empty(place[-1], np.int64), np.empty(len(groups), np.float32), rng.random(place[-1])
    parallel_for(
        lambda first, last: seed_groups(rows.weighted, lists, place, draws, first, last, seeds, squared),
        size,
        rows.threads,
        part=1,
    )
    return np.take(rows.x, seeds[seeds >= 0], axis=0)


def apportion(share: Float64Array, total: int, most: Int64Array) -> Int64Array:
    """Return whole numbers in proportion to `share`, none above `most`, that add up to min(total, sum(most))."""
    exact = share / share.sum() * total
    numbers = np.minimum(np.floor(exact).astype(np.int64), most)
    while (missing := min(total, int(most.sum())) - int(numbers.sum())) > 0:
        gap = np.where(numbers < most, exact - numbers, -np.inf)
        best = np.argsort(-gap, kind="stable")[: min(missing, int((numbers < most).sum()))]
        numbers[best] += 1
    return np.asarray(numbers, np.int64)


def _draw(weights: Float64Array, rng: np.random.Generator) -> int:
    """Return one index, drawn in proportion to `weights`."""
    cumulative = np.cumsum(weights)
    return int(min(np.searchsorted(cumulative, rng.random() * cumulative[-1], side="right"), len(weights) - 1))


@kernel
def seed_groups(
    rows: WeightedRows,
    groups: InvertedLists,
    place: Int64Array,
    draws: Float64Array,
    first: int,
    last: int,
    seeds: Int64Array,
    squared: Float32Array,
) -> None:
    """Run k-means++ inside each of the groups first..last on its own; writes the rows chosen to seeds (k,).

    place: (groups + 1,) where the seeds of a group begin. draws: (k,) in [0, 1). -1 where a group has no distinct row
    left. squared: (n,) scratch.
    """
    x, weights = rows
    order, starts = groups
    for g in range(first, last):
        low, high = starts[g], starts[g + 1]
        for s in range(place[g], place[g + 1]):
            seeds[s] = -1
        for at in range(low, high):
            squared[order[at]] = np.inf
        for s in range(place[g], place[g + 1]):
            fresh = s == place[g]
            total_weight = 0.0
            for at in range(low, high):
                i = order[at]
                weight = np.float64(weights[i]) if weights.shape[0] else 1.0
                total_weight += weight if fresh else weight * squared[i]
            if not total_weight > 0.0:
                break
            aim = draws[s] * total_weight
            pick = np.int64(-1)
            total_weight = 0.0
            for at in range(low, high):
                i = order[at]
                weight = np.float64(weights[i]) if weights.shape[0] else 1.0
                part = weight if fresh else weight * squared[i]
                if part > 0.0:
                    pick = i
                    total_weight += part
                    if total_weight > aim:
                        break
            seeds[s] = pick
            seed = x[pick]
            for at in range(low, high):
                i = order[at]
                total = squared_gap(x[i], seed)
                if total < squared[i]:
                    squared[i] = total
