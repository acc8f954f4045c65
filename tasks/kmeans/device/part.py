"""A part of the rows of a k-means, on the device of one process: what `parts.py` asks of it.

Arrays of its rows stay here, under the number that the caller gave them. What comes home is what clusters have, or a
few rows; sums over rows are exact or of whole numbers, so that how the rows are parted changes none.
"""

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from evenkeel.infra.dtypes import Array, Float32Array, Float64Array, Int32Array, Int64Array
from evenkeel.tasks.kmeans.device import opening
from evenkeel.tasks.kmeans.device.arrays import Arrays
from evenkeel.tasks.kmeans.device.batches import enough_memory
from evenkeel.tasks.kmeans.device.exact import Grid, exact_sums, exact_total
from evenkeel.tasks.kmeans.device.grouped import GroupedRanker, Groups, fit_coarse
from evenkeel.tasks.kmeans.device.ranking import Ranker
from evenkeel.tasks.kmeans.device.relocation import Towards, gains_of, largest_loss, losses_of, move_labels
from evenkeel.tasks.kmeans.device.rows import DeviceRows, RawRows, copy_rows, prepare_rows, without_direction
from evenkeel.tasks.kmeans.device.search import DeviceSearch
from evenkeel.tasks.kmeans.device.totals import Segments, counts_of, running, segments_of
from evenkeel.tasks.kmeans.options import Products
from evenkeel.tasks.kmeans.prepare import Frame, Matrix

NO_ROW = -1
ERROR = -1  # the number under which distances to coarse centroids are kept


class Seeding(NamedTuple):
    """Where seeding stands: the group of every row, the rows by group, and squared distances to the nearest seed."""

    groups: Int32Array
    segments: Segments
    squared: Float32Array


class Part:
    """Rows on a device, and the arrays of them that are kept there."""

    def __init__(self, arrays: Arrays, rows: DeviceRows, products: Products) -> None:
        self.arrays, self.rows, self.products = arrays, rows, products
        self.kept: dict[int, Array] = {}
        self.groups: Groups | None = None
        self.search = DeviceSearch(rows, Ranker(arrays, products), None)
        self.towards: Towards | None = None
        self.seeding: Seeding | None = None
        self.prefix: Int64Array | None = None

    # Rows

    def gather(self, index: Int64Array) -> Float32Array:
        """Return rows, (m, d), in working coordinates."""
        return self.arrays.get(self.rows.gather(self.arrays.put(index)))

    def take(self, index: Int64Array) -> "Part":
        """Return a part of the rows at `index`, (m,) on this machine, without groups."""
        return Part(self.arrays, self.rows.take(self.arrays.put(index)), self.products)

    def subset(self, number: int) -> "Part":
        """Return a part of the rows that an index which is kept names, with their groups."""
        index = self.kept[number]
        part = Part(self.arrays, self.rows.take(index), self.products)
        part.groups = None if self.groups is None else self.groups.take(index)
        return part

    def put(self, number: int, array: Array) -> None:
        """Keep an array of the rows."""
        self.kept[number] = self.arrays.put(array)

    def get(self, number: int) -> Array:
        """Return an array that is kept."""
        return self.arrays.get(self.kept[number])

    def without_direction(self) -> int:
        """Return the first row of length zero, -1 where there is none."""
        row = without_direction(self.rows)
        return NO_ROW if row is None else row

    def extent(self) -> float:
        """Return the largest absolute value of the rows."""
        xp = self.arrays.xp
        return max(float(xp.abs(x).max()) for _, _, x in self.rows.blocks())

    # Groups

    def fit_coarse(self, sample: Float32Array, starts: Int64Array) -> Float32Array:
        """Return coarse centroids, (g, d), fitted on a sample of all rows, (m, d) in working coordinates."""
        same = Frame(np.zeros(sample.shape[1], np.float32), 1.0)
        rows = prepare_rows(self.arrays, sample, None, "cosine" if self.rows.spherical else "euclidean", same)
        return self.arrays.get(fit_coarse(rows, starts, Ranker(self.arrays, self.products)))

    def group(self, coarse: Float32Array) -> None:
        """Find the nearest coarse centroid of every row."""
        there = self.arrays.put(coarse)
        labels = Ranker(self.arrays, self.products).rank(self.rows, there).ids[:, 0].copy()
        self.groups = Groups(there, labels)

    # Search

    def begin(self, by_groups: bool) -> None:
        """Begin a fit. by_groups: rows are compared with the centroids near their group."""
        grouped = GroupedRanker(self.arrays, self.products, self.groups) if by_groups and self.groups else None
        self.search = DeviceSearch(self.rows, Ranker(self.arrays, self.products), grouped)

    def follow(self, labels: int) -> None:
        """Go on from labels."""
        self.search.labels = self.kept[labels]

    def assign(self, out: int, centroids: Float32Array) -> None:
        """Keep the nearest centroid of every row."""
        self.kept[out] = self.search.assign(self.arrays.put(centroids))

    def last(self, out: int, labels: int, centroids: Float32Array) -> None:
        """Keep the nearest centroid of every row, given labels."""
        self.kept[out] = self.search.last(self.arrays.put(centroids), self.kept[labels])

    def rank(self, labels: int, squared: int, centroids: Float32Array) -> float:
        """Rank the centroids for every row; keep labels and squared distances, and return the largest of these."""
        self.kept[labels], self.kept[squared] = self.search.rank(self.arrays.put(centroids))
        return float(self.kept[squared].max())

    def squared(self, out: int, labels: int, centroids: Float32Array) -> float:
        """Keep squared distances to the centroids of labels, and return the largest."""
        self.kept[out] = self.rows.squared(self.arrays.put(centroids), self.kept[labels])
        return float(self.kept[out].max())

    def total(self, squared: int, grid: Grid) -> tuple[Float64Array]:
        """Return the sum of squared distances, coarse and fine, (2,)."""
        return (exact_total(self.arrays, self.kept[squared], grid),)

    def changed(self, labels: int, previous: int) -> int:
        """Return how many labels differ."""
        return self.search.count_changed(self.kept[labels], self.kept[previous])

    def sums(self, labels: int, k: int, grid: Grid) -> tuple[Float64Array, Int64Array]:
        """Return the sums of the rows of each of k labels, (2, k, d), and how many there are, (k,)."""
        return exact_sums(self.rows, self.kept[labels], k, grid)

    def sizes(self, labels: int, k: int) -> tuple[Int64Array]:
        """Return how many rows each of k labels has."""
        return (counts_of(self.arrays, self.kept[labels], k),)

    def worst(self, labels: int, squared: int, most: int) -> tuple[Int64Array, Int32Array, Float32Array]:
        """Return the rows farthest from their centroid, up to `most` (ties: the lowest), their labels and distances."""
        far = self.kept[squared]
        found = self.arrays.xp.argsort(-far, kind="stable")[:most]
        found = found[far[found] > 0]
        home = self.arrays.get
        return home(found).astype(np.int64), home(self.kept[labels][found]), home(far[found])

    def fill(self, labels: int, squared: int, index: Int64Array, clusters: Int32Array) -> None:
        """Give rows, (m,), to clusters that are put on them."""
        there = self.arrays.put(index)
        self.kept[labels][there], self.kept[squared][there] = self.arrays.put(clusters), np.float32(0)

    # Relocation

    def weigh(self, squared: int, scale: float) -> int:
        """Make whole numbers of squared distances, scale to 1, for draws; return their sum."""
        xp = self.arrays.xp
        self.prefix = xp.cumsum(xp.ceil(self.kept[squared].astype(np.float64) * scale).astype(np.int64))
        return int(self.prefix[-1])

    def draw(self, aims: Int64Array, labels: int) -> tuple[Int64Array, Int32Array]:
        """Return the rows that aims, (m,), fall on, and their labels."""
        xp, home = self.arrays.xp, self.arrays.get
        found = xp.searchsorted(self.prefix, self.arrays.put(aims), side="right")
        self.prefix = None
        return home(found).astype(np.int64), home(self.kept[labels][found])

    def aim(self, labels: int, squared: int, target_of: Int32Array, points: Float32Array) -> float:
        """Find what every row gains by the targets, as `relocation.gains_of` does; return the largest gain."""
        there = (self.arrays.put(target_of), self.arrays.put(points))
        self.towards = gains_of(self.rows, *there, self.kept[labels], self.kept[squared])
        return float(self.towards.gain.max())

    def gains(self, labels: int, k: int, scale: float) -> tuple[Int64Array]:
        """Return what the rows of each of k labels gain, in whole numbers, scale to 1."""
        assert self.towards is not None
        return (self._totals(self.towards.gain, segments_of(self.arrays, self.kept[labels], k), scale),)

    def largest_loss(self) -> float:
        """Return what sets the scale of prices."""
        assert self.search.ranked is not None
        return largest_loss(self.rows, self.search.ranked)

    def losses(self, labels: int, order: Int32Array, place: Int32Array, scale: float) -> tuple[Int64Array, Int32Array]:
        """Return what rows lose if the centroid of their label goes, as `relocation.losses_of` does."""
        assert self.search.ranked is not None
        return losses_of(self.rows, self.kept[labels], self.search.ranked, order, place, scale)

    def relocate(self, labels: int, squared: int, goes_to: Int32Array, gone: Int64Array, k: int) -> int:
        """Give rows new labels as `relocation.move_labels` does; return how many have none."""
        assert self.towards is not None
        assert self.search.ranked is not None
        found = self.kept[labels]
        move_labels(self.arrays, found, self.kept[squared], self.search.ranked, self.towards, goes_to, gone, k)
        self.towards = None
        return int((found < 0).sum())

    def find_lost(self, labels: int, centroids: Float32Array) -> None:
        """Compare rows without a label with all centroids."""
        self.search.find_lost(self.arrays.put(centroids), self.kept[labels])

    # Seeding

    def open_seeding(self, grouped: bool, renamed: Int32Array) -> None:
        """Begin to draw seeds in the groups of rows, or in one of all. renamed: (g,) the number of every group."""
        xp = self.arrays.xp
        groups = self.groups.labels if grouped and self.groups is not None else xp.zeros(len(self.rows), np.int32)
        groups = self.arrays.put(renamed)[groups]
        squared = xp.full(len(self.rows), np.inf, np.float32)
        self.seeding = Seeding(groups, segments_of(self.arrays, groups, len(renamed)), squared)

    def coarse_error(self) -> float:
        """Keep squared distances to coarse centroids where seeds go by groups; return the largest."""
        assert self.groups is not None
        self.kept[ERROR] = self.rows.squared(self.groups.coarse, self.groups.labels)
        return float(self.kept[ERROR].max())

    def coarse_totals(self, scale: float) -> tuple[Int64Array, Int64Array]:
        """Return the error of every group, (g,), in whole numbers, scale to 1, and its rows, (g,)."""
        assert self.groups is not None
        segments = segments_of(self.arrays, self.groups.labels, len(self.groups.coarse))
        return self._totals(self.kept.pop(ERROR), segments, scale), np.diff(self.arrays.get(segments.starts))

    def seed_peaks(self, groups: int) -> Float32Array:
        """Return the largest squared distance in each of the first groups, (m,); 1 where none has a seed."""
        assert self.seeding is not None
        peaks: Float32Array = self.arrays.xp.empty(groups, np.float32)
        self.arrays.kernels.group_peaks(self.seeding.squared, *self.seeding.segments, peaks)
        return self.arrays.get(peaks)

    def seed_totals(self, scales: Float64Array) -> Int64Array:
        """Return the sum of squared distances of the first groups, (m,), in whole numbers, scales to 1."""
        return self._drawn(scales, np.full(len(scales), -1))[0]

    def seed_draw(self, aims: Int64Array, scales: Float64Array) -> Float32Array:
        """Return the rows that the aims of groups, (m,), fall on, those of -1 left out."""
        return self.gather(self._drawn(scales, aims)[1][aims >= 0])

    def seed_lower(self, points: Float32Array, found: Int64Array) -> None:
        """Lower squared distances to those to a seed of each of the first groups, (m, d). found: (m,) -1 = none."""
        assert self.seeding is not None
        there, chosen = self.arrays.put(points), self.arrays.put(found)
        groups, _, squared = self.seeding
        for low, high, x in self.rows.spans():
            self.arrays.kernels.lower_to(x, there, chosen, groups[low:high], squared[low:high])

    def close_seeding(self) -> None:
        """Let go of what seeding held."""
        self.seeding = None

    # Resampling

    def nearer(self, labels: int, squared: int, bits: Int32Array) -> tuple[Int64Array]:
        """Return how many rows of each cluster are no farther than a distance, (k,), given as the bits of a float32."""
        found = self.kept[labels]
        near = self.kept[squared].view(np.int32) <= self.arrays.put(bits)[found]
        return (counts_of(self.arrays, found[near], len(bits)),)

    def members(self, out: int, labels: int, squared: int, bits: Int32Array, ties: Int64Array) -> None:
        """Keep an index of the rows that are nearer than a distance, and of the first `ties` of each cluster at it.

        It is ascending. bits, ties: (k,), of every cluster.
        """
        xp, found = self.arrays.xp, self.kept[labels]
        own, limit = self.kept[squared].view(np.int32), self.arrays.put(bits)[found]
        kept, tied = own < limit, xp.flatnonzero(own == limit)
        order, starts = segments_of(self.arrays, found[tied], len(bits))
        cluster = found[tied[order]]
        place = xp.arange(len(tied)) - starts[cluster]
        kept[tied[order[place < self.arrays.put(ties)[cluster]]]] = True
        self.kept[out] = xp.flatnonzero(kept)

    def _drawn(self, scales: Float64Array, aims: Int64Array) -> tuple[Int64Array, Int64Array]:
        """Return the sums of the first groups and the rows that aims fall on, as `Kernels.draw_at` finds them."""
        assert self.seeding is not None
        xp, put = self.arrays.xp, self.arrays.put
        totals, chosen = xp.empty(len(aims), np.int64), xp.empty(len(aims), np.int64)
        self.arrays.kernels.draw_at(
            self.seeding.squared, *self.seeding.segments, put(scales), put(aims), totals, chosen
        )
        return self.arrays.get(totals), self.arrays.get(chosen)

    def _totals(self, values: Float32Array, segments: Segments, scale: float) -> Int64Array:
        """Return the sums of values, as whole numbers, scale to 1, of every segment, on this machine."""
        numbers = self.arrays.xp.ceil(values.astype(np.float64) * scale).astype(np.int64)
        prefix = running(self.arrays, numbers[segments.order])
        return self.arrays.get(prefix[segments.starts[1:]] - prefix[segments.starts[:-1]])


class Unprepared:
    """A part whose rows are not in working coordinates yet, because these follow from all rows."""

    def __init__(self, arrays: Arrays, raw: RawRows) -> None:
        self.arrays, self.raw = arrays, raw

    def peak(self) -> float:
        """Return the largest absolute value; it is not finite where a row is not."""
        return float(self.raw.peak)

    def first_not_finite(self) -> int:
        """Return the first row that is not finite, -1 where all are."""
        return NO_ROW if np.isfinite(self.peak()) else self.raw.first_not_finite()

    def total(self, grid: Grid) -> tuple[Float64Array]:
        """Return the sum of the rows, coarse and fine, (2, d)."""
        return (np.sum([exact_total(self.arrays, x, grid, axis=0) for _, _, x in self.raw.blocks()], axis=0),)

    def prepare(self, frame: Frame, spherical: bool, peak: float, products: Products) -> Part:
        """Return the part in working coordinates; this object is used up."""
        return Part(self.arrays, self.raw.prepared(frame, spherical, None, peak), products)


class Request(NamedTuple):
    """What is asked of a place: a method of one of its parts.

    part: its number. method: the name. arguments: those that this place alone is given; others follow them. keep: the
    number that the part which is returned gets, None where none is. dropped: the numbers of parts and of their arrays
    that nothing refers to any more, -1 = the part itself.
    """

    part: int
    method: str
    arguments: tuple[Any, ...]
    keep: int | None = None
    dropped: tuple[tuple[int, int], ...] = ()


class Place:
    """What one process holds: a part of all rows, number 0, and parts of some of them."""

    def __init__(self, x: Matrix) -> None:
        """Copy rows, (n, d), to the device of this process. Raises ResourceError where it has too little memory."""
        arrays = opening.open_arrays()
        with enough_memory(arrays, "for its part of the rows"):
            raw = copy_rows(arrays, x)
        if raw.x is not None:  # then nothing of the source is needed any more
            raw = replace(raw, source=np.empty((0, raw.shape[1]), np.float32))
        self.arrays, self.rows = arrays, raw.shape[0]
        self.parts: dict[int, Any] = {0: Unprepared(arrays, raw)}

    def do(self, request: Request, shared: tuple[Any, ...]) -> Any:
        """Return what the method returns, given its own arguments and those that all places get; rows of a new part."""
        for part, number in request.dropped:
            if number < 0:
                self.parts.pop(part, None)
            elif part in self.parts:
                self.parts[part].kept.pop(number, None)
        with enough_memory(self.arrays, "to cluster its part of the rows"):
            found = getattr(self.parts[request.part], request.method)(*request.arguments, *shared)
        if request.keep is None:
            return found
        self.parts[request.keep] = found
        return len(found.rows)
