"""k-means on one array: the public function."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from evenkeel.infra.errors import InputError
from evenkeel.tasks.kmeans.engine import Engine, Precision, Seeding
from evenkeel.tasks.kmeans.lloyd import Labels, Watch, to_sphere
from evenkeel.tasks.kmeans.prepare import Floats
from evenkeel.tasks.kmeans.threads import thread_count


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
    precision: Precision = "fast",
    weights: npt.ArrayLike | None = None,
    metric: Literal["euclidean", "cosine"] = "euclidean",
    seeding: Seeding = "auto",
    initial: npt.ArrayLike | None = None,
    tolerance: float = 3e-4,
    threads: int | None = None,
    watch: Watch | None = None,
) -> KMeans:
    """Cluster the rows of x, (n, d) floats or a memory map, around at most k centroids.

    iterations: most Lloyd iterations. precision: exact = every row against every centroid. weights: (n,), none below 0.
    metric: cosine = rows and centroids on the unit sphere, distances measured there. initial: (k, d) centroids to start
    from. tolerance: stop when the inertia falls by less than this share. threads: empty = all cores; the result is the
    same with any number. watch: told (iteration, inertia, rows that moved, clusters re-seeded).
    Raises InputError where x, k or weights cannot be used.
    """
    if k < 1:
        raise InputError("k-means needs a number of clusters", expected="k of at least 1", found=str(k), where="k")
    rng = np.random.default_rng(seed)
    engine = Engine.open(x, k, precision, weights, metric, thread_count(threads), rng)
    if initial is None:
        centroids = engine.seed(min(k, len(engine.order)), seeding, rng)
    else:
        centroids = engine.rows.inside(initial)
        if engine.rows.spherical:
            to_sphere(centroids)
    return result(engine, *engine.fit(centroids, None, iterations, tolerance, rng, watch))


def result(engine: Engine, centroids: Floats, labels: Labels, iterations: int) -> KMeans:
    """Drop empty clusters and return labels and distances in the order and units of the caller's rows."""
    sizes = np.bincount(labels, minlength=len(centroids))
    if not sizes.all():
        labels = (np.cumsum(sizes > 0) - 1).astype(np.int32)[labels]
        centroids = centroids[sizes > 0]
    squared = engine.squared(centroids, labels)
    placed, distances = np.empty_like(labels), np.empty_like(squared)
    placed[engine.order] = labels
    distances[engine.order] = np.sqrt(squared) / np.float32(engine.rows.scale)
    return KMeans(engine.rows.outside(centroids), placed, distances, engine.inertia(squared), iterations)
