"""First centroids. Rows are in working coordinates; every choice comes from `rng`."""

from typing import Any

import numpy as np
import numpy.typing as npt

from evenkeel.tasks.kmeans import kernels
from evenkeel.tasks.kmeans.kernels import kernel, squared_gap
from evenkeel.tasks.kmeans.prepare import Floats, Rows
from evenkeel.tasks.kmeans.threads import spread


def seed_random(rows: Rows, k: int, rng: np.random.Generator) -> Floats:
    """Return k different rows of weight above zero, (k, d); fewer where there are fewer."""
    heavy = np.flatnonzero(rows.weights) if rows.weights.size else np.arange(len(rows.x))
    return np.take(rows.x, np.sort(rng.choice(heavy, size=min(k, len(heavy)), replace=False)), axis=0)


def seed_plus_plus(rows: Rows, k: int, rng: np.random.Generator) -> Floats:
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
        spread(lambda first, last, seed=seed: kernels.lower_to(rows.x, first, last, seed, squared), n, rows.threads)  # type: ignore[misc]
        mass = squared.astype(np.float64) if weights is None else squared * weights
        if not mass.any():
            break
        chosen.append(_draw(mass, rng))
    return np.take(rows.x, chosen, axis=0)


def _draw(mass: npt.NDArray[np.float64], rng: np.random.Generator) -> int:
    """Return one index, drawn in proportion to `mass`."""
    cumulative = np.cumsum(mass)
    return int(min(np.searchsorted(cumulative, rng.random() * cumulative[-1], side="right"), len(mass) - 1))


@kernel
def seed_groups(
    x: Any,
    weights: Any,
    order: Any,
    starts: Any,
    place: Any,
    draws: Any,
    first: int,
    last: int,
    seeds: Any,
    squared: Any,
) -> None:
    """k-means++ inside each of the groups first..last on its own.

    place: (groups + 1,) where the seeds of a group begin. draws: (k,) float64 in [0, 1). Writes row indices to seeds
    (k,) int64, -1 where a group has no distinct row left. squared: (n,) float32 scratch.
    """
    for g in range(first, last):
        low, high = starts[g], starts[g + 1]
        for s in range(place[g], place[g + 1]):
            seeds[s] = -1
        for at in range(low, high):
            squared[order[at]] = np.inf
        for s in range(place[g], place[g + 1]):
            fresh = s == place[g]
            mass = 0.0
            for at in range(low, high):
                i = order[at]
                weight = np.float64(weights[i]) if weights.shape[0] else 1.0
                mass += weight if fresh else weight * squared[i]
            if not mass > 0.0:
                break
            aim = draws[s] * mass
            pick = np.int64(-1)
            mass = 0.0
            for at in range(low, high):
                i = order[at]
                weight = np.float64(weights[i]) if weights.shape[0] else 1.0
                part = weight if fresh else weight * squared[i]
                if part > 0.0:
                    pick = i
                    mass += part
                    if mass > aim:
                        break
            seeds[s] = pick
            seed = x[pick]
            for at in range(low, high):
                i = order[at]
                total = squared_gap(x[i], seed)
                if total < squared[i]:
                    squared[i] = total
