"""The engine and the search of a k-means whose rows are parted over several devices.

The loops are those of every other device (`refine.py`, `lloyd.py`): centroids are on this machine, and go to all places
when these are asked for something; labels and distances stay there. Whatever is summed over the rows comes out the same
however they are parted.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from evenkeel.infra.dtypes import Array, Float32Array, Int32Array, Int64Array
from evenkeel.tasks.kmeans.device.engine import UNGROUPED_UP_TO
from evenkeel.tasks.kmeans.device.exact import Grid, grid_for
from evenkeel.tasks.kmeans.device.grouped import GROUPED_ABOVE, sample_for
from evenkeel.tasks.kmeans.device.parts import Parted, Places, Spread, number_of, spread_of
from evenkeel.tasks.kmeans.device.parts_moves import relocate, reseed_empty
from evenkeel.tasks.kmeans.device.parts_seeding import seed_grouped, seed_plus_plus, seed_random
from evenkeel.tasks.kmeans.lloyd import lloyd, to_sphere
from evenkeel.tasks.kmeans.options import NO_HOOKS, Fit, Hooks, Options, Products, Seeding
from evenkeel.tasks.kmeans.prepare import Frame, frame_of, no_direction, not_finite
from evenkeel.tasks.kmeans.refine import refine

ENDLESS_BITS = 0x7F800000  # of the float32 that is infinite


@dataclass(frozen=True)
class PartsEngine:
    """Rows at several places, in the caller's order; labels that go in or come out are `Spread`s, centroids arrays.

    coarse: centroids of the groups of rows, None = exact, as up to 128 clusters are. k: clusters the groups are made
    for. extent: the largest absolute value of the rows, in working coordinates.
    """

    parts: Parted
    frame: Frame
    spherical: bool
    coarse: Float32Array | None
    k: int
    extent: float

    @classmethod
    def open(
        cls, places: Places, k: int, options: Options, rng: np.random.Generator, products: Products
    ) -> "PartsEngine":
        """Check the rows at some places and find their working coordinates; above 128 clusters they get groups.

        Raises InputError as `prepare.prepare` does.
        """
        parts, spherical = Parted(places), options.metric == "cosine"
        n, peak = len(parts), float(np.max(parts.each("peak")))
        if not np.isfinite(peak):
            raise not_finite(_first(parts, parts.each("first_not_finite")))
        (total,) = parts.sum("total", grid_for(peak, n))
        mean = (total.sum(axis=0) / n).astype(np.float32)
        frame = Frame(np.zeros_like(mean), 1.0) if spherical else frame_of(mean, peak)
        parts.each("prepare", frame, spherical, peak, products, keep=0)
        if spherical and (bad := parts.each("without_direction")) != [-1] * len(bad):
            raise no_direction(_first(parts, bad))
        k = min(k, n)
        coarse = None
        if options.precision != "exact" and k > UNGROUPED_UP_TO:
            sample = sample_for(n, k, rng)
            own: list[tuple[Any, ...] | None] = [None] * len(parts.sizes)
            own[0] = (parts.gather(sample.rows), sample.starts)
            (coarse,) = parts.each("fit_coarse", own=own)
            parts.each("group", coarse)
        return cls(parts, frame, spherical, coarse, k, max(parts.each("extent")))

    @property
    def order(self) -> Int64Array:
        """Rows are where they were in the caller's array."""
        return np.arange(len(self.parts))

    def subset(self, index: Int64Array, fit: Fit) -> "PartsEngine":
        """Return an engine on a copy of the rows of an index that places keep, with the same groups."""
        return self._on(self.parts.child("subset", number_of(index)), self.coarse)

    def part(self, index: Int64Array) -> "PartsEngine":
        """Return an exact engine on a copy of the rows at `index`, (m,) on this machine."""
        own = [(local,) if len(local) else None for _, local in self.parts.local(index)]
        return self._on(self.parts.child("take", own=own), None)

    def start(self, initial: npt.ArrayLike) -> Float32Array:
        """Return the caller's centroids as first ones."""
        centroids = self.frame.inside(initial)
        if self.spherical:
            to_sphere(centroids)
        return centroids

    def seed(self, k: int, seeding: Seeding, rng: np.random.Generator) -> Float32Array:
        """Return first centroids, (<= k, d)."""
        if seeding == "random":
            return seed_random(self.parts, k, rng)
        if seeding == "k-means++" or self.coarse is None:
            return seed_plus_plus(self.parts, k, rng)
        return seed_grouped(self.parts, k, rng)

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
        if self.coarse is None:
            return lloyd(self._search(), centroids, options, hooks)
        return refine(self._search(), centroids, options, rng, hooks, final)

    def squared(self, centroids: Float32Array, labels: Int32Array) -> Float32Array:
        """Return the squared distance of every row to its centroid."""
        return squared_of(self.parts, centroids, labels)  # type: ignore[no-any-return]

    def nearest_members(self, centroids: Float32Array, labels: Int32Array, r: int) -> Int64Array:
        """Return the rows among the r nearest to the centroid of their cluster, ascending at every place.

        The distance of the r-th is found by halving the interval in which its bits lie, 31 times, for all clusters.
        """
        parts, k, squared = self.parts, len(centroids), self.squared(centroids, labels)
        where = number_of(labels), number_of(squared)
        (sizes,) = parts.sum("sizes", where[0], k)
        wanted = np.minimum(sizes, r)
        low, high = np.full(k, -1, np.int64), np.full(k, ENDLESS_BITS, np.int64)
        while (high - low).max() > 1:  # fewer than wanted are at or below low, and enough at or below high
            middle = (low + high) // 2
            (near,) = parts.sum("nearer", *where, middle.astype(np.int32))
            low, high = np.where(near < wanted, middle, low), np.where(near < wanted, high, middle)
        limit = high.astype(np.int32)
        upto, below = (np.stack([one[0] for one in parts.each("nearer", *where, at)]) for at in (limit, limit - 1))
        ties = upto - below
        left = np.maximum(wanted - below.sum(axis=0), 0)
        own = iter(np.clip(left - (np.cumsum(ties, axis=0) - ties), 0, ties))
        index = parts.new()
        parts.each("members", own=[(index.number, *where, limit, next(own)) if size else None for size in parts.sizes])
        return index  # type: ignore[no-any-return]

    def inertia(self, squared: Float32Array) -> float:
        """Return the sum of squared distances in the units of the caller's rows."""
        return total_of(self.parts, squared) / self.frame.scale**2

    def place(self, array: Array) -> Array:
        """Keep an array of all rows where they are; return one of centroids."""
        return put(self.parts, array)

    def home(self, array: Array) -> Array:
        """Return an array in this machine's memory."""
        return get(self.parts, array)

    def _on(self, parts: Parted, coarse: Float32Array | None) -> "PartsEngine":
        return PartsEngine(parts, self.frame, self.spherical, coarse, self.k, self.extent)

    def _search(self) -> "PartsSearch":
        self.parts.each("begin", self.coarse is not None and self.k > GROUPED_ABOVE)
        return PartsSearch(self.parts, self.frame, self.spherical, grid_for(self.extent, len(self.parts)))


class PartsSearch:
    """What both kinds of iteration ask of rows at several places."""

    misassigned = 0.0

    def __init__(self, parts: Parted, frame: Frame, spherical: bool, grid: Grid) -> None:
        self.parts, self.frame, self.spherical, self.grid = parts, frame, spherical, grid

    @property
    def scale(self) -> float:
        """The scale of the working coordinates."""
        return self.frame.scale

    def put(self, array: Array) -> Array:
        """Keep an array of all rows where they are; return one of centroids."""
        return put(self.parts, array)

    def get(self, array: Array) -> Array:
        """Return an array in this machine's memory."""
        return get(self.parts, array)

    def total(self, squared: Float32Array) -> float:
        """Return the sum of squared distances."""
        return total_of(self.parts, squared)

    def count_changed(self, labels: Int32Array, previous: Int32Array | None) -> int:
        """Return how many labels differ; None: all do."""
        if previous is None:
            return len(labels)
        return int(sum(self.parts.each("changed", number_of(labels), number_of(previous))))

    def reseed_empty(self, centroids: Float32Array, labels: Int32Array, squared: Float32Array) -> Int64Array:
        """Give every empty cluster the row with the largest error, in place."""
        return reseed_empty(self.parts, centroids, spread_of(labels), spread_of(squared))

    def assign(self, centroids: Float32Array) -> Int32Array:
        """Return the nearest centroid of every row; ties go to the lowest index."""
        labels = self.parts.new()
        self.parts.each("assign", labels.number, centroids)
        return labels  # type: ignore[no-any-return]

    def squared(self, centroids: Float32Array, labels: Int32Array) -> Float32Array:
        """Return the squared distance of every row to the centroid of its label."""
        return squared_of(self.parts, centroids, labels)  # type: ignore[no-any-return]

    def move(self, centroids: Float32Array, labels: Int32Array) -> None:
        """Move centroids to the means of their rows."""
        sums, counts = self.parts.sum_large("sums", number_of(labels), len(centroids), self.grid)
        means = ((sums[0] + sums[1]) / np.where(counts > 0, counts, 1)[:, None]).astype(np.float32)
        if self.spherical:
            to_sphere(means)
        centroids[:] = np.where((counts > 0)[:, None], means, centroids)

    def begin(self, centroids: Float32Array) -> Int32Array:
        """Find first labels, and move the centroids to the means of their rows."""
        labels = self.assign(centroids)
        self.resume(centroids, labels)
        self.move(centroids, labels)
        return labels

    def resume(self, centroids: Float32Array, labels: Int32Array) -> None:
        """Go on from labels."""
        self.parts.each("follow", number_of(labels))

    def rank(self, centroids: Float32Array) -> tuple[Int32Array, Float32Array]:
        """Rank all rows."""
        labels, squared = self.parts.new(), self.parts.new()
        squared.peak = max(self.parts.each("rank", labels.number, squared.number, centroids))
        return labels, squared

    def relocate(
        self, centroids: Float32Array, labels: Int32Array, squared: Float32Array, rng: np.random.Generator
    ) -> Int64Array:
        """Move centroids to where the error is; rows that lose all three nearest are compared with all again."""
        return relocate(self.parts, centroids, spread_of(labels), spread_of(squared), rng)

    def repair(self, centroids: Float32Array, labels: Int32Array) -> Int32Array:
        """Return the labels: a ranking among all is not wrong, and one by groups finds no more when asked again."""
        return labels

    def update(
        self, centroids: Float32Array, previous: Int32Array, labels: Int32Array, moved: Int64Array, renew: bool
    ) -> None:
        """Move centroids to the means of their rows."""
        self.resume(centroids, labels)
        self.move(centroids, labels)

    def last(self, centroids: Float32Array, labels: Int32Array) -> Int32Array:
        """Return the nearest centroid of every row."""
        found = self.parts.new()
        self.parts.each("last", found.number, number_of(labels), centroids)
        return found  # type: ignore[no-any-return]


def squared_of(parts: Parted, centroids: Float32Array, labels: Int32Array) -> Any:
    """Return the squared distance of every row to the centroid of its label, where the rows are."""
    squared = parts.new()
    squared.peak = max(parts.each("squared", squared.number, number_of(labels), centroids))
    return squared


def total_of(parts: Parted, squared: Float32Array) -> float:
    """Return the sum of squared distances that are where the rows are."""
    found = spread_of(squared)
    (total,) = parts.sum("total", found.number, grid_for(found.peak, len(parts)))
    return float(total.sum())


def put(parts: Parted, array: Array) -> Array:
    """Keep an array of one number for each row where the rows are; return another as it is."""
    return parts.spread(array) if array.ndim == 1 else array


def get(parts: Parted, array: object) -> Array:
    """Return a copy of an array in this machine's memory, where it may be already."""
    return parts.home(array) if isinstance(array, Spread) else np.array(array)


def _first(parts: Parted, found: list[int]) -> int:
    """Return the first of rows that parts found, -1 = none, by its number among all."""
    return int(parts.global_rows([np.array([row][: int(row >= 0)], np.int64) for row in found])[0])
