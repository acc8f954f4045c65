"""Weights of domains: numbers >= 0 that sum to 1, within a floor and a cap."""

from collections.abc import Sequence

import numpy as np

from evenkeel.infra.dtypes import Float64Array

TINY = 1e-12
HALVINGS = 100


def limited(weights: Float64Array, floor: float = 0.0, cap: float = 1.0) -> Float64Array:
    """Return mixtures, (..., k) float64, that sum to 1 with no weight below `floor` or above `cap`.

    Between the limits weights keep their proportions. All-zero weights count as equal ones. Raises ValueError where the
    limits leave no such weights, or a weight is negative or not finite.
    """
    count = weights.shape[-1]
    if not np.isfinite(weights).all() or (weights < 0).any():
        raise ValueError(f"expected finite weights >= 0, found {weights[~((weights >= 0) & np.isfinite(weights))][0]}")
    if floor * count > 1 + 1e-9 or cap * count < 1 - 1e-9:
        raise ValueError(f"no weights of {count} domains lie between {floor:g} and {cap:g} and sum to 1")
    sums = weights.sum(axis=-1, keepdims=True)
    base = np.where(sums > 0, weights / np.where(sums > 0, sums, 1.0), 1 / count)
    if floor <= 0 and cap >= 1:
        plain: Float64Array = base
        return plain
    base = base + TINY
    low, high = np.zeros_like(sums), np.full_like(sums, 1 / TINY)
    for _ in range(HALVINGS):
        middle = np.sqrt(np.maximum(low, TINY) * high)
        below = np.clip(middle * base, floor, cap).sum(axis=-1, keepdims=True) < 1
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    found: Float64Array = np.clip(high * base, floor, cap)
    found /= found.sum(axis=-1, keepdims=True)
    return found


def total_variation(one: Float64Array, other: Float64Array) -> float:
    """Return half the sum of the absolute differences of two mixtures, from 0 to 1."""
    return float(np.abs(one - other).sum() / 2)


def around(centres: Sequence[Float64Array], count: int, rng: np.random.Generator, strength: float) -> Float64Array:
    """Return mixtures drawn by Dirichlet distributions around some centres in turn, (count, k) float64.

    strength: the sum of a distribution's parameters for each domain; small ones scatter far.
    """
    found = np.empty((count, len(centres[0])))
    for place in range(count):
        centre = centres[place % len(centres)]
        found[place] = rng.dirichlet(np.maximum(centre * strength * len(centre), 0.05))
    return found


def apart(mixtures: Float64Array, count: int, distance: float) -> Float64Array:
    """Return the first `count` mixtures, each at least so far in total variation from those before it.

    Where there are too few, the nearer ones follow in their order. mixtures: (n, k); n >= count.
    """
    chosen: list[int] = []
    rest: list[int] = []
    for place, one in enumerate(mixtures):
        if len(chosen) == count:
            break
        far = all(total_variation(one, mixtures[other]) >= distance for other in chosen)
        (chosen if far else rest).append(place)
    found: Float64Array = mixtures[(chosen + rest)[:count]]
    return found
