"""One set of rows, made ready once, on which k-means is run as often as resampling asks for it."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from evenkeel.infra.dtypes import Array, Float32Array, Int32Array, Int64Array
from evenkeel.tasks.kmeans.assign import Cells, follow
from evenkeel.tasks.kmeans.coarse import CoarseAssignment, fit_coarse
from evenkeel.tasks.kmeans.device.engine import DeviceEngine
from evenkeel.tasks.kmeans.lloyd import (
    HostExactSearch,
    assign_exact,
    invert,
    lloyd,
    nearest_members,
    squared_distances,
    to_sphere,
    weighted_sum,
)
from evenkeel.tasks.kmeans.options import CPU, NO_HOOKS, Device, Fit, Hooks, Options, Seeding
from evenkeel.tasks.kmeans.parallel import thread_count
from evenkeel.tasks.kmeans.prepare import Frame, Matrix, PreparedRows, prepare
from evenkeel.tasks.kmeans.pruned import PrunedSearch
from evenkeel.tasks.kmeans.refine import refine
from evenkeel.tasks.kmeans.seeding import seed_grouped, seed_plus_plus, seed_random

MAX_EXACT_CLUSTERS = 128


class Engine(Protocol):
    """Rows on some device. Centroids and labels lie there too, until `home` brings them to this machine's memory."""

    @property
    def order(self) -> Int64Array:
        """Return the place in the caller's array of every row, (n,) on this machine."""

    @property
    def frame(self) -> Frame:
        """Return the working coordinates."""

    def subset(self, index: Int64Array, fit: Fit) -> "Engine":
        """Return an engine on a copy of the rows at `index`, which lies where the rows do. fit: one of all rows."""

    def part(self, index: Int64Array) -> "Engine":
        """Return an exact engine on a copy of the rows at `index`, which is on this machine."""

    def start(self, initial: npt.ArrayLike) -> Float32Array:
        """Return the caller's centroids, (k, d), as first ones."""

    def seed(self, k: int, seeding: Seeding, rng: np.random.Generator) -> Float32Array:
        """Return first centroids, (<= k, d); auto = grouped on the fast path, k-means++ on the exact one."""

    def follow(self, fit: Fit, index: Int64Array, refit: Fit) -> Int32Array:
        """Return the nearest centroid of a refit for every row, (n,) int32, given that of the rows at `index`.

        fit: an earlier one of all rows.
        """

    def fit(
        self,
        centroids: Float32Array,
        options: Options,
        rng: np.random.Generator,
        hooks: Hooks = NO_HOOKS,
        final: bool = True,
    ) -> Fit:
        """Improve centroids in place. final: look for the nearest of every row once more when none moves any longer."""

    def squared(self, centroids: Float32Array, labels: Int32Array) -> Float32Array:
        """Return the squared distance of every row to its centroid, (n,) float32, in working units."""

    def nearest_members(self, centroids: Float32Array, labels: Int32Array, r: int) -> Int64Array:
        """Return the rows among the r nearest to the centroid of their cluster; ties to the lowest row."""

    def inertia(self, squared: Float32Array) -> float:
        """Return the weighted sum of squared distances in the units of the caller's rows."""

    def place(self, array: Array) -> Array:
        """Return an array of this machine's memory where the rows are."""

    def home(self, array: Array) -> Array:
        """Return an array in this machine's memory."""


def open_engine(
    x: Matrix,
    k: int,
    options: Options,
    rng: np.random.Generator,
    weights: npt.ArrayLike | None = None,
    device: Device = CPU,
) -> Engine:
    """Check and copy (n, d) rows, to a CUDA device or in this machine's memory; there, up to 128 clusters are exact."""
    if device.gpu:
        return DeviceEngine.open(x, k, options, rng, weights, device)
    rows = prepare(x, weights, options.metric, thread_count(device.threads))
    order = np.arange(len(rows.x))
    if options.precision == "exact" or min(k, len(order)) <= MAX_EXACT_CLUSTERS:
        return HostEngine(rows, order, None)
    coarse = fit_coarse(rows, k, rng)
    order, _ = invert(np.ascontiguousarray(coarse.lists[:, 0]), len(coarse.centroids))
    return HostEngine(rows.reorder(order), order, coarse.take(order))


@dataclass(frozen=True)
class HostEngine:
    """Prepared rows in this machine's memory, in the order of their nearest coarse centroids where there are any.

    order: (n,) int64, place in the caller's array of every row here. coarse: None = exact. cells: an earlier
    clustering of the rows, None where there is none.
    """

    rows: PreparedRows
    order: Int64Array
    coarse: CoarseAssignment | None
    cells: Cells | None = None

    @property
    def frame(self) -> Frame:
        """The working coordinates."""
        return self.rows.frame

    def subset(self, index: Int64Array, fit: Fit) -> "HostEngine":
        """Return an engine on a copy of some rows, with the same coarse centroids and the clusters of a fit."""
        coarse = None if self.coarse is None else self.coarse.take(index)
        return HostEngine(
            self.rows.take(index), self.order[index], coarse, Cells(fit.centroids, fit.labels).take(index)
        )

    def part(self, index: Int64Array) -> "HostEngine":
        """Return an exact engine on a copy of some rows."""
        return HostEngine(self.rows.take(index), index, None)

    def start(self, initial: npt.ArrayLike) -> Float32Array:
        """Return the caller's centroids as first ones."""
        centroids = self.rows.frame.inside(initial)
        if self.rows.spherical:
            to_sphere(centroids)
        return centroids

    def seed(self, k: int, seeding: Seeding, rng: np.random.Generator) -> Float32Array:
        """Return first centroids, (<= k, d)."""
        if seeding == "random":
            return seed_random(self.rows, k, rng)
        if seeding == "k-means++" or self.coarse is None:
            return seed_plus_plus(self.rows, k, rng)
        groups = np.ascontiguousarray(self.coarse.lists[:, 0])
        return seed_grouped(self.rows, self.coarse.centroids, groups, k, rng)

    def follow(self, fit: Fit, index: Int64Array, refit: Fit) -> Int32Array:
        """Return the nearest centroid of a refit for every row: exactly, or found from the clusters of a fit."""
        if self.coarse is None:
            return assign_exact(self.rows, refit.centroids)
        cells = Cells(fit.centroids, fit.labels)
        return follow(self.rows, self.coarse, refit.centroids, cells, index, refit.labels)

    def fit(
        self,
        centroids: Float32Array,
        options: Options,
        rng: np.random.Generator,
        hooks: Hooks = NO_HOOKS,
        final: bool = True,
    ) -> Fit:
        """Improve centroids in place, by Lloyd iterations."""
        if self.coarse is None:
            return lloyd(HostExactSearch(self.rows), centroids, options, hooks)
        return refine(PrunedSearch(self.rows, self.coarse, self.cells), centroids, options, rng, hooks, final)

    def squared(self, centroids: Float32Array, labels: Int32Array) -> Float32Array:
        """Return the squared distance of every row to its centroid."""
        return squared_distances(self.rows, centroids, labels)

    def nearest_members(self, centroids: Float32Array, labels: Int32Array, r: int) -> Int64Array:
        """Return the rows among the r nearest to the centroid of their cluster; ties to the lowest row."""
        return nearest_members(labels, self.squared(centroids, labels), r)

    def inertia(self, squared: Float32Array) -> float:
        """Return the weighted sum of squared distances in the units of the caller's rows."""
        return float(weighted_sum(self.rows, squared) / self.rows.frame.scale**2)

    def place(self, array: Array) -> Array:
        """Return the array: rows are where it is."""
        return array

    home = place
