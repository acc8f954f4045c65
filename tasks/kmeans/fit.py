"""k-means on one array: the public function."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from evenkeel.infra.dtypes import Float32Array, Int32Array
from evenkeel.infra.errors import InputError
from evenkeel.tasks.kmeans.engine import Engine, open_engine
from evenkeel.tasks.kmeans.options import DEFAULTS, Device, Fit, Hooks, Iteration, Options
from evenkeel.tasks.kmeans.prepare import Matrix


@dataclass(frozen=True)
class KMeans:
    """A finished k-means.

    centroids: (k', d) float32, k' <= k: fewer where there are fewer distinct rows. labels: (n,) int32, the nearest
    centroid of each row. distances: (n,) float32, Euclidean, to it. inertia: weighted sum of squared distances.
    iterations: how many ran.
    """

    centroids: Float32Array
    labels: Int32Array
    distances: Float32Array
    inertia: float
    iterations: int


def kmeans(
    x: Matrix,
    k: int,
    options: Options = DEFAULTS,
    *,
    seed: int = 0,
    weights: npt.ArrayLike | None = None,
    initial: npt.ArrayLike | None = None,
    threads: int | None = None,
    device: Device | None = None,
    on_iteration: Callable[[Iteration], object] | None = None,
) -> KMeans:
    """Cluster the rows of x, (n, d) floats or a memory map, around at most k centroids.

    weights: (n,), none below 0. initial: (k, d) centroids to start from. threads: None = all cores; the result is the
    same with any number. device: where, None = on this machine's cores. on_iteration: called after every iteration.
    Raises InputError where x, k or weights cannot be used.
    """
    if k < 1:
        raise InputError("k-means needs a number of clusters", expected="k of at least 1", found=str(k), where="k")
    rng = np.random.default_rng(seed)
    engine = open_engine(x, k, options, rng, weights, device or Device(threads))
    if initial is None:
        centroids = engine.seed(min(k, len(engine.order)), options.seeding, rng)
    else:
        centroids = engine.start(initial)
    return finish(engine, engine.fit(centroids, options, rng, Hooks(on_iteration)))


def finish(engine: Engine, fit: Fit) -> KMeans:
    """Drop empty clusters and return labels and distances in the order and units of the caller's rows."""
    squared = engine.squared(fit.centroids, fit.labels)
    inertia = engine.inertia(squared)
    centroids, labels, squared = engine.home(fit.centroids), engine.home(fit.labels), engine.home(squared)
    sizes = np.bincount(labels, minlength=len(centroids))
    if not sizes.all():
        labels = (np.cumsum(sizes > 0) - 1).astype(np.int32)[labels]
        centroids = centroids[sizes > 0]
    placed, distances = np.empty_like(labels), np.empty_like(squared)
    placed[engine.order] = labels
    distances[engine.order] = np.sqrt(squared) / np.float32(engine.frame.scale)
    return KMeans(engine.frame.outside(centroids), placed, distances, inertia, fit.iterations)
