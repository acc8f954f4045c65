"""Coarse centroids: one for each list of an inverted file, about sqrt(16 k) of them, and the nearest of every row."""

from dataclasses import dataclass

import numpy as np

from evenkeel.infra.dtypes import Float32Array, Int32Array, Int64Array
from evenkeel.tasks.kmeans import pruned_kernels
from evenkeel.tasks.kmeans.lloyd import assign_exact, codebook, update
from evenkeel.tasks.kmeans.parallel import parallel_for
from evenkeel.tasks.kmeans.prepare import PreparedRows
from evenkeel.tasks.kmeans.seeding import seed_random

NPROBE = 16
ROWS_PER_LIST = 64
ITERATIONS = 3


@dataclass(frozen=True)
class CoarseAssignment:
    """Which lists every row searches.

    centroids: (nlist, d) float32, the coarse centroids. lists: (n, <= 16) int32, the nearest of them to every row,
    nearest first. distances: (n, <= 16) float32, to these.
    """

    centroids: Float32Array
    lists: Int32Array
    distances: Float32Array

    def take(self, index: Int64Array) -> "CoarseAssignment":
        """Return the assignment of the rows at `index`."""
        return CoarseAssignment(self.centroids, self.lists[index], self.distances[index])


def fit_coarse(rows: PreparedRows, k: int, rng: np.random.Generator) -> CoarseAssignment:
    """Fit the coarse centroids for k centroids on a sample, and find the lists of every row.

    There are so many that finding the lists of a row costs what searching them costs.
    """
    n = len(rows.x)
    nlist = int(min(max(2, np.sqrt(NPROBE * k)), n))
    sample = rows.take(np.sort(rng.choice(n, size=min(n, ROWS_PER_LIST * nlist), replace=False)))
    centroids = seed_random(sample, nlist, rng)
    for _ in range(ITERATIONS):
        update(sample, centroids, assign_exact(sample, centroids))
    return assign_coarse(rows, centroids)


def assign_coarse(rows: PreparedRows, centroids: Float32Array) -> CoarseAssignment:
    """Find the lists of every row, given the coarse centroids."""
    lists, scores = nearest_lists(rows.x, centroids, rows.threads)
    return CoarseAssignment(centroids, lists, np.sqrt(np.maximum(rows.norms[:, None] + 2 * scores, 0)))


def nearest_lists(x: Float32Array, coarse: Float32Array, threads: int) -> tuple[Int32Array, Float32Array]:
    """Return the 16 lists nearest to every row, (n, min(16, nlist)) int32, nearest first, and their scores."""
    lists = np.empty((len(x), min(NPROBE, len(coarse))), np.int32)
    scores, book = np.empty(lists.shape, np.float32), codebook(coarse)
    parallel_for(
        lambda first, last: pruned_kernels.nearest_many(x, first, last, book, lists, scores),
        len(x),
        threads,
        part=1024,
    )
    return lists, scores
