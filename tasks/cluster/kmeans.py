"""k-means on one array: the public function."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from infra.errors import InputError
from tasks.cluster.lloyd import (
    Labels,
    assign_exact,
    members,
    reseed_empty,
    squared_distances,
    to_sphere,
    total,
    update,
)
from tasks.cluster.prepare import Floats, Rows, prepare
from tasks.cluster.seeding import seed_plus_plus, seed_random
from tasks.cluster.threads import thread_count

Watch = Callable[[int, float, int, int], None]
Seeding = Literal["auto", "random", "k-means++", "grouped"]


@dataclass(frozen=True)
class KMeans:
    """A finished k-means.

    centroids: (k', d) float32, k' <= k: fewer where there are fewer distinct rows. labels: (n,) int32, the nearest
    centroid of each row. distances: (n,) float32, Euclidean, to it. inertia: weighted sum of squared distances.
    iterations: how many ran.
    """

    centroids: Floats
    labels: Labels
    distances: Floats
    inertia: float
    iterations: int


def kmeans(
    x: Any,
    k: int,
    *,
    iterations: int = 12,
    seed: int = 0,
    precision: Literal["fast", "exact"] = "fast",
    weights: npt.ArrayLike | None = None,
    metric: Literal["euclidean", "cosine"] = "euclidean",
    seeding: Seeding = "auto",
    initial: npt.ArrayLike | None = None,
    tolerance: float = 1e-3,
    threads: int | None = None,
    watch: Watch | None = None,
) -> KMeans:
    """Cluster the rows of x, (n, d) floats or a memory map, around at most k centroids.

    iterations: most Lloyd iterations. precision: exact = every row against every centroid. weights: (n,), none negative.
    metric: cosine = rows and centroids on the unit sphere, distances measured there. initial: (k, d) centroids to start
    from. tolerance: stop when the inertia falls by less than this share. threads: empty = all cores; the result is the
    same with any number. watch: told (iteration, inertia, rows that moved, clusters re-seeded).
    Raises InputError where x, k or weights cannot be used.
    """
    if k < 1:
        raise InputError("k-means needs a number of clusters", expected="k of at least 1", found=str(k), where="k")
    rows = prepare(x, weights, metric, thread_count(threads))
    rng = np.random.default_rng(seed)
    k = min(k, len(rows.x))
    if initial is not None:
        centroids = rows.inside(initial)
        if rows.spherical:
            to_sphere(centroids)
    else:
        centroids = seeds(rows, k, seeding, rng)
    return finish(rows, *lloyd(rows, centroids, iterations, tolerance, watch))


def seeds(rows: Rows, k: int, seeding: Seeding, rng: np.random.Generator) -> Floats:
    """Return first centroids by the named method, (<= k, d); auto picks by k."""
    return seed_random(rows, k, rng) if seeding == "random" else seed_plus_plus(rows, k, rng)


def lloyd(
    rows: Rows, centroids: Floats, iterations: int, tolerance: float, watch: Watch | None
) -> tuple[Floats, Labels, int]:
    """Run Lloyd iterations and a last assignment: (centroids, labels of the nearest of them, iterations run)."""
    before, previous = np.inf, np.full(len(rows.x), -1, np.int32)
    ran = 0
    for ran in range(1, iterations + 1):
        labels = assign_exact(rows, centroids)
        squared = squared_distances(rows, centroids, labels)
        reseeded = reseed_empty(rows, centroids, labels, squared)
        inertia = total(rows, squared)
        if watch is not None:
            watch(ran, inertia / rows.scale**2, int((labels != previous).sum()), reseeded)
        update(rows, centroids, *members(labels, len(centroids)))
        if inertia >= before * (1 - tolerance) and not reseeded:
            break
        before, previous = inertia, labels
    return centroids, assign_exact(rows, centroids), ran


def finish(rows: Rows, centroids: Floats, labels: Labels, iterations: int) -> KMeans:
    """Drop empty clusters and return the result in the coordinates of the original rows."""
    sizes = np.bincount(labels, minlength=len(centroids))
    if not sizes.all():
        kept = sizes > 0
        labels = (np.cumsum(kept) - 1).astype(np.int32)[labels]
        centroids = centroids[kept]
    squared = squared_distances(rows, centroids, labels)
    return KMeans(
        centroids=rows.outside(centroids),
        labels=labels,
        distances=(np.sqrt(squared) / np.float32(rows.scale)).astype(np.float32, copy=False),
        inertia=float(total(rows, squared) / rows.scale**2),
        iterations=iterations,
    )
