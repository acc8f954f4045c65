"""Distances between histograms of clusters, and what random draws of the same sizes come to, by simulation."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits

from evenkeel.infra.dtypes import Float64Array, Int64Array
from evenkeel.tasks.cluster.hierarchy import Hierarchy
from evenkeel.tasks.distance.measures import By, above_noise, divergence, simulated, transported
from evenkeel.tasks.measure.version_sets import DRAWS

MOST_CLUSTERS, FEW_CLUSTERS = 1024, 256
TARGET, POOL, LAST = "target", "pool", "last-version"
Line = dict[str, str | float | None]
"""A row of the profile's table `distances`: to, by, pool, random, after, bound."""


class HistogramKind(NamedTuple):
    """lift: makes a histogram of leaves one of the compared clusters. distance: between two of those."""

    lift: Callable[[Int64Array], Int64Array]
    distance: Callable[[Int64Array, Int64Array], float]


class Histograms(NamedTuple):
    """Rows of the leaves. pool, version: (leaves,) int64. asked: the distances (to, by) that gates are on.

    Of those, enough random draws are simulated to know how they spread; transport to others gets one to the target.
    """

    hierarchy: Hierarchy
    pool: Int64Array
    version: Int64Array
    asked: frozenset[tuple[str, str]]

    def line(self, to: str, by: By, other: Int64Array) -> Line:
        """Return the distances to another histogram of leaves, (leaves,) int64."""
        with threadpool_limits(1):  # products of some hundred clusters: threads would wait for one another
            return self._line(to, by, other)

    def _line(self, to: str, by: By, other: Int64Array) -> Line:
        kind = kind_of(self.hierarchy, by, self.pool, MOST_CLUSTERS if to == TARGET else FEW_CLUSTERS)
        pool, version, aim = (kind.lift(one) for one in (self.pool, self.version, other))
        rows, times = int(version.sum()), DRAWS if by == "kl" or (to, by) in self.asked else int(to == TARGET)
        line: Line = {"to": to, "by": by, "pool": kind.distance(aim, pool), "after": kind.distance(aim, version)}
        if to == TARGET:
            drawn = simulated(lambda _, one: kind.distance(aim, one), share_of(pool), (0, rows), times)
            return {**line, **of_draws(drawn)}
        if to == POOL:
            return {**line, "pool": None, **of_noise(simulated(kind.distance, share_of(pool), (0, rows), times))}
        both = (share_of(version) + share_of(aim)) / 2
        return {**line, **of_noise(simulated(kind.distance, both, (int(aim.sum()), rows), times))}


def kind_of(hierarchy: Hierarchy, by: By, pool: Int64Array, most: int) -> HistogramKind:
    """Return how histograms of leaves are compared: kl on the leaves, transport on the finest of few clusters.

    pool: (leaves,) int64, rows of the pool. most: clusters that are few. Where every level has more than 1,024,
    transport is NaN.
    """
    if by == "kl":
        return HistogramKind(lambda one: one, partial(divergence, pool=pool))
    sizes = [one.clusters for one in hierarchy.levels]
    level = next((number for number, size in enumerate(sizes, 1) if size <= most), len(sizes))
    if sizes[level - 1] > MOST_CLUSTERS:
        return HistogramKind(lambda one: one, lambda one, other: float("nan"))
    cluster, centroids = hierarchy.ancestors(level), hierarchy.levels[level - 1].centroids
    return HistogramKind(
        lambda one: np.bincount(cluster, one, len(centroids)).astype(np.int64),
        lambda one, other: transported(one, other, centroids),
    )


def of_draws(found: Float64Array) -> Line:
    """Return what random draws come to: their mean, and the nearest of eight as the bound; fewer give no bound."""
    if not len(found):
        return {"random": None, "bound": None}
    return {"random": float(found.mean()), "bound": float(found.min()) if len(found) >= DRAWS else None}


def of_noise(found: Float64Array) -> Line:
    """Return what two draws of one set come to: their mean, and what hardly any two exceed as the bound."""
    if not len(found):
        return {"random": None, "bound": None}
    return {"random": float(found.mean()), "bound": above_noise(found) if len(found) >= DRAWS else None}


def share_of(counts: Int64Array | Float64Array) -> Float64Array:
    """Return a histogram as shares, (k,) float64 that sum to 1; even ones for an empty histogram."""
    found: Float64Array = counts / max(float(counts.sum()), 1.0)
    return found if found.sum() > 0 else np.full(len(counts), 1 / max(len(counts), 1))
