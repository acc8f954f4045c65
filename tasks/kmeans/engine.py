"""One set of rows, made ready once, on which k-means is run as often as resampling asks for it."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from evenkeel.infra.dtypes import Float32Array, Int32Array, Int64Array
from evenkeel.tasks.kmeans import gpu
from evenkeel.tasks.kmeans.coarse import CoarseAssignment, fit_coarse
from evenkeel.tasks.kmeans.inverted import assign_inverted
from evenkeel.tasks.kmeans.lloyd import assign_exact, invert, lloyd, squared_distances, weighted_sum
from evenkeel.tasks.kmeans.options import CPU, NO_HOOKS, Device, Fit, Hooks, Options, Seeding
from evenkeel.tasks.kmeans.parallel import thread_count
from evenkeel.tasks.kmeans.prepare import Matrix, PreparedRows, prepare
from evenkeel.tasks.kmeans.pruned import pruned_lloyd
from evenkeel.tasks.kmeans.seeding import seed_grouped, seed_plus_plus, seed_random

MAX_EXACT_CLUSTERS = 128


@dataclass(frozen=True)
class Engine:
    """Prepared rows, in the order of their nearest coarse centroids where there are any.

    order: (n,) int64, place in the caller's array of every row here. coarse: None = exact. on_gpu: by a CUDA device.
    """

    rows: PreparedRows
    order: Int64Array
    coarse: CoarseAssignment | None
    on_gpu: bool = False

    @classmethod
    def open(
        cls,
        x: Matrix,
        k: int,
        options: Options,
        rng: np.random.Generator,
        weights: npt.ArrayLike | None = None,
        device: Device = CPU,
    ) -> "Engine":
        """Check and copy (n, d) rows; up to 128 clusters, fast is exact."""
        rows = prepare(x, weights, options.metric, thread_count(device.threads))
        order = np.arange(len(rows.x))
        if device.gpu or options.precision == "exact" or min(k, len(order)) <= MAX_EXACT_CLUSTERS:
            return cls(rows, order, None, device.gpu)
        coarse = fit_coarse(rows, k, rng)
        order, _ = invert(np.ascontiguousarray(coarse.lists[:, 0]), len(coarse.centroids))
        return cls(rows.reorder(order), order, coarse.take(order))

    def subset(self, index: Int64Array) -> "Engine":
        """Return an engine on a copy of some rows, with the same coarse centroids."""
        coarse = None if self.coarse is None else self.coarse.take(index)
        return Engine(self.rows.take(index), self.order[index], coarse, self.on_gpu)

    def seed(self, k: int, seeding: Seeding, rng: np.random.Generator) -> Float32Array:
        """Return first centroids, (<= k, d); auto = grouped on the fast path, k-means++ on the exact one."""
        if seeding == "random":
            return seed_random(self.rows, k, rng)
        if seeding == "k-means++" or (self.coarse is None and (k <= MAX_EXACT_CLUSTERS or not self.on_gpu)):
            return seed_plus_plus(self.rows, k, rng)
        coarse = fit_coarse(self.rows, k, rng) if self.coarse is None else self.coarse
        return seed_grouped(self.rows, coarse.centroids, np.ascontiguousarray(coarse.lists[:, 0]), k, rng)

    def assign(self, centroids: Float32Array) -> Int32Array:
        """Return the nearest centroid of every row, (n,) int32: exactly, or found through the inverted lists."""
        if self.on_gpu:
            return gpu.assign(self.rows, centroids)
        if self.coarse is None:
            return assign_exact(self.rows, centroids)
        return assign_inverted(self.rows, self.coarse, centroids)

    def fit(self, centroids: Float32Array, options: Options, rng: np.random.Generator, hooks: Hooks = NO_HOOKS) -> Fit:
        """Improve centroids in place, by Lloyd iterations."""
        if self.on_gpu:
            return gpu.fit(self.rows, centroids, options, hooks)
        if self.coarse is None:
            return lloyd(self.rows, centroids, options, hooks)
        return pruned_lloyd(self.rows, self.coarse, centroids, options, rng, hooks)

    def squared(self, centroids: Float32Array, labels: Int32Array) -> Float32Array:
        """Return the squared distance of every row to its centroid, (n,) float32, in working units."""
        return squared_distances(self.rows, centroids, labels)

    def inertia(self, squared: Float32Array) -> float:
        """Return the weighted sum of squared distances in the units of the caller's rows."""
        return float(weighted_sum(self.rows, squared) / self.rows.frame.scale**2)
