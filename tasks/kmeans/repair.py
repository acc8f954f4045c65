"""Repair a level of a tree: masses of parents within bounds, and shares of protected groups, by moving children.

Source: the operators of fair and relatively balanced hierarchical clustering (Knittel et al. 2022, arXiv 2205.14198,
and 2023, arXiv 2311.12501): delete and insert a subtree, here one child; merge two clusters and split another in two.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from evenkeel.infra.dtypes import Float32Array, Float64Array, Int32Array, Int64Array

NEGLIGIBLE = 1e-9


@dataclass(frozen=True)
class MassBounds:
    """What a parent should hold. low, high: rows. least, most: (values,) float64 shares of each protected value."""

    low: float
    high: float
    least: Float64Array
    most: Float64Array

    def unmet(self, sums: Float64Array) -> Float64Array:
        """Return by how many rows parents with these sums, (..., values), are outside, (...) float64."""
        mass = sums.sum(axis=-1)
        of_mass = np.maximum(0.0, self.low - mass) + np.maximum(0.0, mass - self.high)
        over, under = sums - self.most * mass[..., None], self.least * mass[..., None] - sums
        found: Float64Array = of_mass + np.maximum(0.0, np.maximum(over, under)).sum(axis=-1)
        return found


class Repaired(NamedTuple):
    """The parent of every child, (n,) int32, and the rows by which the bounds are still not met."""

    parents: Int32Array
    unmet: float


def repair_parents(
    children: Float32Array, masses: Float64Array, parents: Int32Array, centroids: Float32Array, bounds: MassBounds
) -> Repaired:
    """Move children until every parent is within its bounds, or nothing brings it nearer.

    children: (n, d). masses: (n, values) rows of each child by protected value; one column where none is. centroids:
    (K, d) of the parents. The parent that is farthest out gives or takes the child for which the bounds gain most for
    the inertia that it costs. Where no single move helps, the lightest parent merges into its neighbour and the
    heaviest is split in two. The rows outside fall with every step, so it ends.
    """
    placed, k = parents.copy(), len(centroids)
    sums = _sums(placed, masses, k)
    outside, stuck = bounds.unmet(sums), np.zeros(k, bool)
    while (outside > NEGLIGIBLE).any():
        worst = int(np.argmax(np.where(stuck, -1.0, outside)))
        if stuck[worst] or outside[worst] <= NEGLIGIBLE:
            if not _merge_and_split(children, masses, placed, centroids, bounds, outside):
                break
        else:
            move = _best_move(children, masses, placed, centroids, bounds, sums, outside, worst)
            if move is None:
                stuck[worst] = True
                continue
            placed[move[0]] = move[1]
        sums = _sums(placed, masses, k)
        outside, stuck = bounds.unmet(sums), np.zeros(k, bool)
    return Repaired(placed, float(outside.sum()))


def _best_move(
    children: Float32Array,
    masses: Float64Array,
    placed: Int32Array,
    centroids: Float32Array,
    bounds: MassBounds,
    sums: Float64Array,
    outside: Float64Array,
    worst: int,
) -> tuple[int, int] | None:
    """Return the child and its new parent, out of the worst parent or into it, that gains most for what it costs."""
    best, chosen = 0.0, None
    alone = np.bincount(placed, minlength=len(centroids)) <= 1
    own, others = np.flatnonzero(placed == worst), np.flatnonzero((placed != worst) & ~alone[placed])
    if not alone[worst]:
        gain = (
            outside[worst]
            + outside[None]
            - bounds.unmet(sums[worst] - masses[own])[:, None]
            - bounds.unmet(sums[None] + masses[own][:, None])
        )
        gain[:, worst] = 0.0
        value = np.where(gain > NEGLIGIBLE, gain, 0.0) / _costs(children[own], centroids, worst)
        if value.size and value.max() > best:
            at = int(value.argmax())
            best, chosen = float(value.max()), (int(own[at // len(centroids)]), at % len(centroids))
    gain = (
        outside[worst]
        + outside[placed[others]]
        - bounds.unmet(sums[worst] + masses[others])
        - bounds.unmet(sums[placed[others]] - masses[others])
    )
    from_own = ((children[others] - centroids[placed[others]]) ** 2).sum(axis=1, dtype=np.float64)
    to_worst = ((children[others] - centroids[worst]) ** 2).sum(axis=1, dtype=np.float64)
    cost = np.maximum(to_worst - from_own, 0.0) + to_worst.sum() / max(len(others), 1) * 1e-3 + 1e-30
    value = np.where(gain > NEGLIGIBLE, gain, 0.0) / cost
    if value.size and value.max() > best:
        chosen = (int(others[int(value.argmax())]), worst)
    return chosen


def _costs(children: Float32Array, centroids: Float32Array, own: int) -> Float64Array:
    """Return what every child loses at each parent against its own, (m, K) above 0."""
    gaps = np.stack([((children - centroid) ** 2).sum(axis=1, dtype=np.float64) for centroid in centroids], axis=1)
    costs: Float64Array = np.maximum(gaps - gaps[:, own : own + 1], 0.0) + gaps.mean() * 1e-3 + 1e-30
    return costs


def _sums(placed: Int32Array, masses: Float64Array, k: int) -> Float64Array:
    """Return the rows of every parent by value, (k, values)."""
    return np.stack([np.bincount(placed, column, k) for column in masses.T], axis=1).astype(np.float64)


def _merge_and_split(
    children: Float32Array,
    masses: Float64Array,
    placed: Int32Array,
    centroids: Float32Array,
    bounds: MassBounds,
    outside: Float64Array,
) -> bool:
    """Merge the lightest parent into the nearest one and split the heaviest in two, in place, where that gains."""
    k, rows = len(centroids), masses.sum(axis=1)
    mass = np.bincount(placed, rows, k)
    lightest, heaviest = int(mass.argmin()), int(mass.argmax())
    members = np.flatnonzero(placed == heaviest)
    if k < 3 or lightest == heaviest or len(members) < 2:
        return False
    gaps = ((centroids - centroids[lightest]) ** 2).sum(axis=1, dtype=np.float64)
    gaps[[lightest, heaviest]] = np.inf
    tried = placed.copy()
    tried[placed == lightest] = int(gaps.argmin())
    tried[_half(children[members], members, rows[members])] = lightest
    if bounds.unmet(_sums(tried, masses, k)).sum() >= outside.sum() - NEGLIGIBLE:
        return False
    placed[:] = tried
    centroids[lightest] = children[tried == lightest].mean(axis=0)
    centroids[heaviest] = children[tried == heaviest].mean(axis=0)
    return True


def _half(children: Float32Array, members: Int64Array, rows: Float64Array) -> Int64Array:
    """Return the members on one side of the widest direction, about half of the rows and at least one."""
    centred = children - children.mean(axis=0)
    along = centred @ np.linalg.svd(centred, full_matrices=False)[2][0]
    order = np.argsort(along, kind="stable")
    count = int(np.searchsorted(np.cumsum(rows[order]), rows.sum() / 2)) + 1
    return members[order[: min(max(count, 1), len(members) - 1)]]
