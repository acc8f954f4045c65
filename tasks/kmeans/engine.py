"""One set of rows, made ready once, on which k-means is run as often as resampling asks for it."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from evenkeel.tasks.kmeans import gpu
from evenkeel.tasks.kmeans.groups import Groups, coarse_groups, search, seed_grouped
from evenkeel.tasks.kmeans.lloyd import (
    Keep,
    Labels,
    State,
    Watch,
    assign_exact,
    lloyd,
    members,
    squared_distances,
    total,
)
from evenkeel.tasks.kmeans.prepare import Floats, Rows, prepare
from evenkeel.tasks.kmeans.pruned_lloyd import pruned_lloyd
from evenkeel.tasks.kmeans.seeding import seed_plus_plus, seed_random

Precision = Literal["fast", "exact"]
Seeding = Literal["auto", "random", "k-means++", "grouped"]
FEW = 128


@dataclass(frozen=True)
class Engine:
    """Prepared rows, in the order of their coarse groups where there are any.

    order: (n,) int64, place in the caller's array of every row here. groups: None = exact. on_gpu: by a CUDA device.
    """

    rows: Rows
    order: npt.NDArray[np.int64]
    groups: Groups | None
    on_gpu: bool = False

    @classmethod
    def open(
        cls,
        x: Any,
        k: int,
        precision: Precision,
        weights: Any,
        metric: str,
        threads: int,
        rng: np.random.Generator,
        on_gpu: bool = False,
    ) -> "Engine":
        """Check and copy (n, d) rows; up to 128 clusters, fast is exact."""
        rows = prepare(x, weights, metric, threads)
        order = np.arange(len(rows.x))
        if on_gpu or precision == "exact" or min(k, len(order)) <= FEW:
            return cls(rows, order, None, on_gpu)
        groups = coarse_groups(rows, k, rng)
        order, _ = members(np.ascontiguousarray(groups.probes[:, 0]), len(groups.centres))
        return cls(rows.reorder(order), order, groups.take(order))

    def subset(self, index: npt.NDArray[np.int64]) -> "Engine":
        """Return an engine on a copy of some rows, with the same groups."""
        groups = None if self.groups is None else self.groups.take(index)
        return Engine(self.rows.take(index), self.order[index], groups, self.on_gpu)

    def seed(self, k: int, seeding: Seeding, rng: np.random.Generator) -> Floats:
        """Return first centroids, (<= k, d); auto = grouped on the fast path, k-means++ on the exact one."""
        if seeding == "random":
            return seed_random(self.rows, k, rng)
        if self.groups is not None and seeding != "k-means++":
            return seed_grouped(self.rows, self.groups, k, rng)
        if k <= FEW or seeding == "k-means++" or not self.on_gpu:
            return seed_plus_plus(self.rows, k, rng)
        return seed_grouped(self.rows, coarse_groups(self.rows, k, rng), k, rng)

    def assign(self, centroids: Floats, labels: Labels | None = None) -> Labels:
        """Return the nearest centroid of every row: exactly, or found through the groups from present labels."""
        if self.on_gpu:
            return gpu.assign(self.rows, centroids)
        if self.groups is None:
            return assign_exact(self.rows, centroids)
        return search(self.rows, self.groups, centroids, labels)

    def fit(
        self,
        centroids: Floats,
        labels: Labels | None,
        iterations: int,
        tolerance: float,
        rng: np.random.Generator,
        watch: Watch | None,
        start: State | None = None,
        keep: Keep | None = None,
    ) -> tuple[Floats, Labels, int]:
        """Improve centroids in place: (centroids, labels, iterations run). start, keep: see `pruned_lloyd`."""
        if self.on_gpu:
            return gpu.fit(self.rows, centroids, iterations, tolerance, watch, start, keep)
        if self.groups is None:
            return lloyd(self.rows, centroids, iterations, tolerance, watch, start, keep)
        return pruned_lloyd(self.rows, self.groups, centroids, labels, iterations, tolerance, rng, watch, start, keep)

    def squared(self, centroids: Floats, labels: Labels) -> Floats:
        """Return the squared distance of every row to its centroid, (n,) float32, in working units."""
        return squared_distances(self.rows, centroids, labels)

    def inertia(self, squared: Floats) -> float:
        """Return the weighted sum of squared distances in the units of the caller's rows."""
        return float(total(self.rows, squared) / self.rows.scale**2)
