"""Finding the nearest centroid of rows that are near one already: their own, or that of an earlier clustering.

Comparing a row with the neighbours of its centroid ends in local minima, as searching the inverted lists near it does
where lists cut through crowded regions; rows that one of them leaves astray the others mostly find.
"""

from typing import NamedTuple

import numpy as np

from evenkeel.infra.dtypes import Float32Array, Int32Array, Int64Array
from evenkeel.tasks.kmeans import pruned_kernels
from evenkeel.tasks.kmeans.coarse import CoarseAssignment
from evenkeel.tasks.kmeans.inverted import assign_inverted
from evenkeel.tasks.kmeans.kernels import InvertedLists
from evenkeel.tasks.kmeans.lloyd import codebook, invert, squared_distances
from evenkeel.tasks.kmeans.neighbours import NEIGHBOURS, Neighbours
from evenkeel.tasks.kmeans.parallel import parallel_for
from evenkeel.tasks.kmeans.prepare import PreparedRows
from evenkeel.tasks.kmeans.pruned_kernels import Ranking

PASSES = 3
CELLS_PER_PART = 64
PAIRS_PER_ROW = 64  # cells are compared with all centroids where that costs no more than this for every row
FAR, FAR_ALONE = 0.1, 0.5  # of the rows, those that search the inverted lists, with cells and without
ASTRAY = 1.5  # times the median squared distance: what is farther searches them too


class Cells(NamedTuple):
    """An earlier clustering of the same rows: centroids, (m, d), and the one of every row, (n,) int32.

    What lies near the centroid of a row's cell lies near the row, however the cells came to be.
    """

    centroids: Float32Array
    labels: Int32Array

    def take(self, index: Int64Array) -> "Cells":
        """Return the cells of the rows at `index`."""
        return Cells(self.centroids, self.labels[index])

    def comparable(self, k: int) -> bool:
        """Return whether there are rows enough that comparing every cell with k centroids costs little."""
        return len(self.centroids) * k <= PAIRS_PER_ROW * len(self.labels)


def rank(
    rows: PreparedRows,
    centroids: Float32Array,
    clusters: InvertedLists,
    lists: Int32Array,
    which: Int64Array,
    ranking: Ranking,
) -> None:
    """Rank the centroids in the list of their cluster for the rows of clusters `which`; fills their part of `ranking`.

    clusters: rows by cluster, m of them. lists: (m, q) int32 centroids, k where a list has ended.
    """
    book = codebook(centroids)
    parallel_for(
        lambda first, last: pruned_kernels.rank_in_lists(rows.x, clusters, which, first, last, lists, book, ranking),
        len(which),
        rows.threads,
        part=128,
    )


def nearest_by_cells(rows: PreparedRows, cells: Cells, centroids: Float32Array) -> tuple[Int32Array, Float32Array]:
    """Return the nearest of the 32 centroids nearest to the cell of every row, (n,) int32, and its score, (n,)."""
    near = np.empty((len(cells.centroids), min(NEIGHBOURS, len(centroids))), np.int32)
    scores, book = np.empty(near.shape, np.float32), codebook(centroids)
    parallel_for(
        lambda first, last: pruned_kernels.nearest_many(cells.centroids, first, last, book, near, scores),
        len(near),
        rows.threads,
        part=CELLS_PER_PART,
    )
    clusters, ranking = invert(cells.labels, len(near)), _ranking(len(rows.x))
    rank(rows, centroids, clusters, near, np.flatnonzero(np.diff(clusters.starts)), ranking)
    return np.ascontiguousarray(ranking.ids[:, 0]), np.ascontiguousarray(ranking.scores[:, 0])


def walk(rows: PreparedRows, centroids: Float32Array, neighbours: Int32Array, labels: Int32Array) -> Int32Array:
    """Move rows to the nearest neighbour of their centroid, up to three times; return their labels, (n,) int32."""
    found, ranking, moving = labels.copy(), _ranking(len(rows.x)), np.arange(len(rows.x))
    for _ in range(PASSES):
        members, starts = invert(np.ascontiguousarray(found[moving]), len(centroids))
        clusters = InvertedLists(moving[members], starts)
        rank(rows, centroids, clusters, neighbours, np.flatnonzero(np.diff(starts)), ranking)
        nearest = ranking.ids[moving, 0]
        changed = nearest != found[moving]
        found[moving] = nearest
        moving = moving[changed]
        if not moving.size:
            break
    return found


def look_further(
    rows: PreparedRows,
    coarse: CoarseAssignment,
    centroids: Float32Array,
    labels: Int32Array,
    cells: Cells | None,
) -> Int32Array:
    """Return labels, (n,) int32, for which rows have also been compared with the centroids near their cell.

    Then those that are farthest from their centroid, a tenth of them, have searched the inverted lists; half of them
    where there are no cells.
    """
    squared, far = squared_distances(rows, centroids, labels), FAR_ALONE
    if cells is not None and cells.comparable(len(centroids)):
        other, scores = nearest_by_cells(rows, cells, centroids)
        through = np.maximum(rows.norms + 2 * scores, 0)
        labels, squared, far = np.where(through < squared, other, labels), np.minimum(through, squared), FAR
    beyond, found = farthest(squared, far), labels.copy()
    sizes = np.bincount(labels, minlength=len(centroids))
    found[beyond] = assign_inverted(rows.take(beyond), coarse.take(beyond), centroids, found[beyond], sizes=sizes)
    return found


def farthest(squared: Float32Array, share: float = FAR) -> Int64Array:
    """Return the rows that are farthest from their centroid, ascending: a share of all, and any unusually far."""
    place = len(squared) - int(np.ceil(share * len(squared)))
    limit = min(np.partition(squared, place)[place], np.float32(ASTRAY * np.median(squared)))
    return np.flatnonzero((squared >= limit) & (squared > 0))


def follow(
    rows: PreparedRows,
    coarse: CoarseAssignment,
    centroids: Float32Array,
    cells: Cells,
    members: Int64Array,
    labels: Int32Array,
) -> Int32Array:
    """Return the nearest centroid of every row, (n,) int32, where centroids have been fitted on some of the rows.

    members: (m,) these rows. labels: (m,) their centroids. A row of another cell first goes where most members of its
    cell went, then along the neighbours of centroids; then it is compared with those near its cell.
    """
    start = _where_most_went(cells, members, labels, len(centroids))[cells.labels]
    start[members] = labels
    neighbours = Neighbours(centroids, coarse.centroids, rows.threads)
    found = walk(rows, centroids, neighbours.lists, start)
    return look_further(rows, coarse, centroids, found, cells)


def _where_most_went(cells: Cells, members: Int64Array, labels: Int32Array, k: int) -> Int32Array:
    """Return the label that most members of every cell have, (m,) int32; 0 for a cell without members."""
    pairs, counts = np.unique(cells.labels[members].astype(np.int64) * k + labels, return_counts=True)
    cell, label = np.divmod(pairs, k)
    order = np.lexsort((label, -counts, cell))
    first = np.flatnonzero(np.diff(cell[order], prepend=-1))
    went = np.zeros(len(cells.centroids), np.int32)
    went[cell[order][first]] = label[order][first]
    return went


def _ranking(n: int) -> Ranking:
    return Ranking(np.empty((n, 3), np.int32), np.empty((n, 3), np.float32))
