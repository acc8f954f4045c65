"""The neighbour-pruned search: n x 32 products an iteration in place of n x k.

A row is compared with the 32 centroids nearest its present one. That alone ends in local minima, so there are two ways
out: relocation moves centroids to where the error is, and a search of the inverted lists repairs misassigned rows.
"""

import numpy as np

from evenkeel.infra.dtypes import BoolArray, Float32Array, Int32Array, Int64Array
from evenkeel.tasks.kmeans.assign import Cells, look_further, nearest_by_cells, rank
from evenkeel.tasks.kmeans.coarse import NPROBE, CoarseAssignment
from evenkeel.tasks.kmeans.inverted import assign_inverted
from evenkeel.tasks.kmeans.kernels import InvertedLists
from evenkeel.tasks.kmeans.lloyd import HostSearch, invert, move_to_means
from evenkeel.tasks.kmeans.neighbours import Neighbours
from evenkeel.tasks.kmeans.prepare import PreparedRows
from evenkeel.tasks.kmeans.pruned_kernels import Ranking
from evenkeel.tasks.kmeans.relocation import relocate

REBUILD_EVERY = 3
REBUILD_SHARE = 0.02


class PrunedSearch(HostSearch):
    """Rows in this machine's memory, ranked by the neighbours of their centroid. One is made for every fit.

    cells: an earlier clustering of the rows, None where there is none.
    """

    misassigned = 1.0

    def __init__(self, rows: PreparedRows, coarse: CoarseAssignment, cells: Cells | None = None) -> None:
        super().__init__(rows)
        self.cells = cells
        n, none = len(rows.x), np.empty(0, np.int64)
        self.coarse = coarse
        self.ranking = Ranking(np.empty((n, 3), np.int32), np.empty((n, 3), np.float32))
        self.clusters, self.stale, self.age = InvertedLists(none, none), np.empty(0, np.bool_), 0
        self._neighbours: Neighbours | None = None

    @property
    def neighbours(self) -> Neighbours:
        """The lists of neighbours, which exist once the fit has begun."""
        assert self._neighbours is not None
        return self._neighbours

    def begin(self, centroids: Float32Array) -> Int32Array:
        """Find first labels near the cell of a row, or in its nearest lists; move centroids to the means of rows."""
        if self.cells is not None and self.cells.comparable(len(centroids)):
            labels, _ = nearest_by_cells(self.rows, self.cells, centroids)
        else:
            labels = assign_inverted(self.rows, self.coarse, centroids, nprobe=NPROBE // 4)
        self.clusters, self.age = invert(labels, len(centroids)), 0
        move_to_means(self.rows, centroids, self.clusters)
        self._start(centroids)
        return labels

    def resume(self, centroids: Float32Array, labels: Int32Array) -> None:
        """Go on from saved labels: all lists are found anew."""
        self.clusters, self.age = invert(labels, len(centroids)), REBUILD_EVERY
        self._start(centroids)

    def _start(self, centroids: Float32Array) -> None:
        self._neighbours = Neighbours(centroids, self.coarse.centroids, self.rows.threads)
        self.stale = np.ones(len(centroids), np.bool_)

    def rank(self, centroids: Float32Array) -> tuple[Int32Array, Float32Array]:
        """Rank the rows of the clusters that have changed, or whose neighbours have."""
        if self.age >= REBUILD_EVERY:
            self.stale |= self.neighbours.rebuild(centroids, np.diff(self.clusters.starts))
            self.age = 0
        stale = np.flatnonzero(self.stale)
        rank(self.rows, centroids, self.clusters, self.neighbours.lists, stale, self.ranking)
        labels = np.ascontiguousarray(self.ranking.ids[:, 0])
        return labels, np.maximum(self.rows.norms + 2 * self.ranking.scores[:, 0], 0)

    def relocate(
        self, centroids: Float32Array, labels: Int32Array, squared: Float32Array, rng: np.random.Generator
    ) -> Int64Array:
        """Move centroids to where the error is."""
        return relocate(self.rows, centroids, labels, self.ranking, squared, rng)

    def repair(self, centroids: Float32Array, labels: Int32Array) -> Int32Array:
        """Look for nearer centroids than those that neighbour a row's."""
        return look_further(self.rows, self.coarse, centroids, labels, self.cells)

    def update(
        self, centroids: Float32Array, previous: Int32Array, labels: Int32Array, moved: Int64Array, renew: bool
    ) -> None:
        """Move the centroids whose rows have changed, and keep the lists of neighbours up with them."""
        k = len(centroids)
        self.clusters = invert(labels, k)
        stale = update_changed(self.rows, centroids, previous, labels, self.clusters, moved)
        self.stale = stale | np.append(stale, False)[self.neighbours.lists].any(axis=1)
        self.age += 1
        if renew:
            self.age, self.stale = REBUILD_EVERY, np.ones(k, np.bool_)
        elif len(moved) > REBUILD_SHARE * k:
            self.age = REBUILD_EVERY
        elif len(moved):
            self.stale |= self.neighbours.add_moved(centroids, moved, np.diff(self.clusters.starts))

    def last(self, centroids: Float32Array, labels: Int32Array) -> Int32Array:
        """Search the nearest lists of every row."""
        return assign_inverted(self.rows, self.coarse, centroids, labels)


def update_changed(
    rows: PreparedRows,
    centroids: Float32Array,
    previous: Int32Array,
    labels: Int32Array,
    clusters: InvertedLists,
    moved: Int64Array,
) -> BoolArray:
    """Move the centroids whose rows have changed to the mean of these, in place; return which, (k,).

    previous, labels: (n,) before and after. moved: centroids that were put elsewhere.
    """
    changed = np.zeros(len(centroids), np.bool_)
    different = np.flatnonzero(previous != labels)
    changed[previous[different]] = changed[labels[different]] = changed[moved] = True
    move_to_means(rows, centroids, clusters, np.flatnonzero(changed))
    return changed
