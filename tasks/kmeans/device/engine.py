"""The engine on a device: rows are copied there once, and every round of resampling works on them there."""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from evenkeel.infra.dtypes import Array, Float32Array, Int32Array, Int64Array
from evenkeel.tasks.kmeans.device import opening
from evenkeel.tasks.kmeans.device.batches import enough_memory
from evenkeel.tasks.kmeans.device.grouped import GROUPED_ABOVE, GroupedRanker, Groups, fit_groups
from evenkeel.tasks.kmeans.device.ranking import Ranker
from evenkeel.tasks.kmeans.device.rows import DeviceRows, prepare_rows, to_sphere
from evenkeel.tasks.kmeans.device.search import DeviceSearch, total
from evenkeel.tasks.kmeans.device.seeding import seed_grouped, seed_plus_plus, seed_random
from evenkeel.tasks.kmeans.device.totals import segments_of
from evenkeel.tasks.kmeans.lloyd import lloyd
from evenkeel.tasks.kmeans.options import NO_HOOKS, Device, Fit, Hooks, Options, Products, Seeding
from evenkeel.tasks.kmeans.prepare import Frame, Matrix
from evenkeel.tasks.kmeans.refine import refine

UNGROUPED_UP_TO = 128


@dataclass(frozen=True)
class DeviceEngine:
    """Rows on a device in the caller's order; centroids and labels that go in or come out are there too.

    groups: of the rows; None = exact, as up to 128 clusters are. k: clusters the groups are made for.
    """

    rows: DeviceRows
    groups: Groups | None
    products: Products
    k: int

    @classmethod
    def open(
        cls,
        x: Matrix,
        k: int,
        options: Options,
        rng: np.random.Generator,
        weights: npt.ArrayLike | None,
        device: Device,
    ) -> "DeviceEngine":
        """Check (n, d) rows and copy them to the device; more than 128 clusters get groups of rows."""
        arrays = opening.open_arrays()
        with enough_memory(arrays, "for the rows"):
            rows = prepare_rows(arrays, x, weights, options.metric)
            engine = cls(rows, None, device.products, min(k, len(rows)))
            if options.precision == "exact" or engine.k <= UNGROUPED_UP_TO:
                return engine
            return replace(engine, groups=fit_groups(rows, engine.k, rng, Ranker(arrays, device.products)))

    @property
    def order(self) -> Int64Array:
        """Rows are where they were in the caller's array."""
        return np.arange(len(self.rows))

    @property
    def frame(self) -> Frame:
        """The working coordinates."""
        return self.rows.frame

    def subset(self, index: Int64Array, fit: Fit) -> "DeviceEngine":
        """Return an engine on a copy of the rows at `index`, (m,) on the device, with the same groups."""
        groups = None if self.groups is None else self.groups.take(index)
        return replace(self, rows=self.rows.take(index), groups=groups)

    def part(self, index: Int64Array) -> "DeviceEngine":
        """Return an exact engine on a copy of the rows at `index`, (m,) on this machine."""
        rows = self.rows.take(self.rows.arrays.put(index))
        return replace(self, rows=rows, groups=None)

    def start(self, initial: npt.ArrayLike) -> Float32Array:
        """Return the caller's centroids as first ones."""
        centroids = self.place(self.frame.inside(initial))
        if self.rows.spherical:
            to_sphere(self.rows.arrays, centroids)
        return centroids

    def seed(self, k: int, seeding: Seeding, rng: np.random.Generator) -> Float32Array:
        """Return first centroids, (<= k, d)."""
        with enough_memory(self.rows.arrays, "to draw the first centroids"):
            if seeding == "random":
                return seed_random(self.rows, k, rng)
            if seeding == "k-means++" or self.groups is None:
                return seed_plus_plus(self.rows, k, rng)
            return seed_grouped(self.rows, self.groups.coarse, self.groups.labels, k, rng)

    def follow(self, fit: Fit, index: Int64Array, refit: Fit) -> Int32Array:
        """Return the nearest centroid of a refit for every row."""
        return self._search().assign(refit.centroids)

    def fit(
        self,
        centroids: Float32Array,
        options: Options,
        rng: np.random.Generator,
        hooks: Hooks = NO_HOOKS,
        final: bool = True,
    ) -> Fit:
        """Improve centroids in place, by Lloyd iterations."""
        with enough_memory(self.rows.arrays, "to cluster the rows"):
            if self.groups is None:
                return lloyd(self._search(), centroids, options, hooks)
            return refine(self._search(), centroids, options, rng, hooks, final)

    def squared(self, centroids: Float32Array, labels: Int32Array) -> Float32Array:
        """Return the squared distance of every row to its centroid."""
        return self.rows.squared(centroids, labels)

    def nearest_members(self, centroids: Float32Array, labels: Int32Array, r: int) -> Int64Array:
        """Return the rows among the r nearest to the centroid of their cluster, on the device, in the host's order."""
        xp = self.rows.arrays.xp
        by_distance = xp.argsort(self.squared(centroids, labels), kind="stable")
        order = by_distance[xp.argsort(labels[by_distance], kind="stable")]
        starts = segments_of(self.rows.arrays, labels, len(centroids)).starts
        place = xp.arange(len(labels)) - starts[labels[order]]
        return order[place < r]  # type: ignore[no-any-return]

    def inertia(self, squared: Float32Array) -> float:
        """Return the weighted sum of squared distances in the units of the caller's rows."""
        return total(self.rows, squared) / self.frame.scale**2

    def place(self, array: Array) -> Array:
        """Copy an array to the device."""
        return self.rows.arrays.put(array)

    def home(self, array: Array) -> Array:
        """Copy an array to this machine."""
        return self.rows.arrays.get(array)

    def _search(self) -> DeviceSearch:
        arrays, grouped = self.rows.arrays, None
        if self.groups is not None and self.k > GROUPED_ABOVE:
            grouped = GroupedRanker(arrays, self.products, self.groups)
        return DeviceSearch(self.rows, Ranker(arrays, self.products), grouped)
