"""What both kinds of iteration ask of rows on a device."""

import numpy as np

from evenkeel.infra.dtypes import Array, Float32Array, Float64Array, Int32Array, Int64Array
from evenkeel.tasks.kmeans.device.grouped import GroupedRanker
from evenkeel.tasks.kmeans.device.ranking import Ranked, Ranker
from evenkeel.tasks.kmeans.device.relocation import relocate
from evenkeel.tasks.kmeans.device.rows import DeviceRows
from evenkeel.tasks.kmeans.device.totals import counts_of, weighted
from evenkeel.tasks.kmeans.lloyd import choose_fillers


class DeviceSearch:
    """Rows on a device, ranked among all centroids, or by groups where there are very many."""

    misassigned = 0.0

    def __init__(self, rows: DeviceRows, ranker: Ranker, grouped: GroupedRanker | None) -> None:
        self.rows, self.ranker, self.grouped = rows, ranker, grouped
        self.labels: Int32Array | None = None
        self.ranked: Ranked | None = None

    @property
    def scale(self) -> float:
        """The scale of the working coordinates."""
        return self.rows.frame.scale

    def put(self, array: Array) -> Array:
        """Copy an array to the device."""
        return self.rows.arrays.put(array)

    def get(self, array: Array) -> Array:
        """Copy an array to this machine."""
        return self.rows.arrays.get(array)

    def total(self, squared: Float32Array) -> float:
        """Return the weighted sum of squared distances, the same in any order of the rows."""
        return total(self.rows, squared)

    def count_changed(self, labels: Int32Array, previous: Int32Array | None) -> int:
        """Return how many labels differ; None: all do."""
        return len(labels) if previous is None else int((labels != previous).sum())

    def reseed_empty(self, centroids: Float32Array, labels: Int32Array, squared: Float32Array) -> Int64Array:
        """Give every empty cluster the row with the largest error, in place."""
        rows, arrays, xp = self.rows, self.rows.arrays, self.rows.arrays.xp
        sizes = counts_of(arrays, labels, len(centroids))
        empty = np.flatnonzero(sizes == 0)
        if not empty.size:
            return empty
        error = weighted(squared, rows.weights)
        worst = xp.argsort(-error, kind="stable")[: 4 * len(empty)]
        worst = worst[error[worst] > 0]
        chosen = worst[arrays.put(choose_fillers(arrays.get(labels[worst]), sizes, len(empty)))]
        filled = empty[: len(chosen)]
        there = arrays.put(filled)
        labels[chosen], squared[chosen] = there.astype(np.int32), np.float32(0)
        centroids[there] = rows.gather(chosen)
        return filled

    def assign(self, centroids: Float32Array) -> Int32Array:
        """Return the nearest centroid of every row, (n,) int32; ties go to the lowest index."""
        return self._find(centroids, None).ids[:, 0].copy()

    def squared(self, centroids: Float32Array, labels: Int32Array) -> Float32Array:
        """Return the squared distance of every row to the centroid of its label."""
        return self.rows.squared(centroids, labels)

    def move(self, centroids: Float32Array, labels: Int32Array) -> None:
        """Move centroids to the means of their rows."""
        self.rows.move_to_means(centroids, labels)

    def begin(self, centroids: Float32Array) -> Int32Array:
        """Find first labels, and move the centroids to the means of their rows."""
        self.labels = self.assign(centroids)
        self.move(centroids, self.labels)
        return self.labels

    def resume(self, centroids: Float32Array, labels: Int32Array) -> None:
        """Go on from saved labels."""
        self.labels = labels

    def rank(self, centroids: Float32Array) -> tuple[Int32Array, Float32Array]:
        """Rank all rows."""
        self.ranked = self._find(centroids, self.labels)
        return self.ranked.ids[:, 0].copy(), self.ranked.gaps[:, 0].copy()

    def relocate(
        self, centroids: Float32Array, labels: Int32Array, squared: Float32Array, rng: np.random.Generator
    ) -> Int64Array:
        """Move centroids to where the error is; rows that lose all three nearest are compared with all again."""
        assert self.ranked is not None
        moved = relocate(self.rows, centroids, labels, self.ranked, squared, rng)
        self.find_lost(centroids, labels)
        return moved

    def find_lost(self, centroids: Float32Array, labels: Int32Array) -> None:
        """Compare rows of the label -1 with all centroids, in place."""
        lost = self.rows.arrays.xp.flatnonzero(labels < 0)
        if len(lost):
            labels[lost] = self.ranker.rank(self.rows.take(lost), centroids).ids[:, 0]

    def repair(self, centroids: Float32Array, labels: Int32Array) -> Int32Array:
        """Return the labels: a ranking among all is not wrong, and one by groups finds no more when asked again."""
        return labels

    def update(
        self, centroids: Float32Array, previous: Int32Array, labels: Int32Array, moved: Int64Array, renew: bool
    ) -> None:
        """Move centroids to the means of their rows."""
        self.labels = labels
        self.move(centroids, labels)

    def last(self, centroids: Float32Array, labels: Int32Array) -> Int32Array:
        """Return the nearest centroid of every row."""
        return self._find(centroids, labels).ids[:, 0].copy()

    def _find(self, centroids: Float32Array, before: Int32Array | None) -> Ranked:
        if self.grouped is not None:
            return self.grouped.rank(self.rows, centroids, before)
        return self.ranker.rank(self.rows, centroids)


TOTAL_PARTS = 1024


def total(rows: DeviceRows, squared: Float32Array) -> float:
    """Return the weighted sum of (n,) squared distances, in float64, of parts whose bounds follow from n alone."""
    xp, n = rows.arrays.xp, len(squared)
    values = squared.astype(np.float64)
    if rows.weights is not None:
        values *= rows.weights
    part = max(1, -(-n // TOTAL_PARTS))
    padded: Float64Array = xp.zeros(part * -(-n // part), np.float64)
    padded[:n] = values
    return float(rows.arrays.get(padded.reshape(-1, part).sum(axis=1)).sum())
