"""An inverted file (IVF) over centroids: each is filed in one list, and a row searches only the lists nearest to it.

Centroids that find no room near them go to the overflow list, which every row searches.
"""

import numpy as np

from evenkeel.infra.dtypes import Float32Array, Int32Array, Int64Array
from evenkeel.tasks.kmeans import kernels, pruned_kernels
from evenkeel.tasks.kmeans.coarse import NPROBE, CoarseAssignment, nearest_lists
from evenkeel.tasks.kmeans.kernels import Codebook, InvertedLists
from evenkeel.tasks.kmeans.lloyd import codebook, invert, squared_distances
from evenkeel.tasks.kmeans.parallel import parallel_for
from evenkeel.tasks.kmeans.prepare import PreparedRows
from evenkeel.tasks.kmeans.pruned_kernels import InvertedFile, Nearest, Probes

CAPACITIES = (3, 6)
MISFILED = 0.01
RADII_PER_PART = 4096


def build_inverted_file(
    centroids: Float32Array, coarse: Float32Array, sizes: Int64Array | None, threads: int
) -> InvertedFile:
    """File every centroid in its nearest list with room; sizes: (k,) rows of each, None where that is not known."""
    book = codebook(centroids)
    near, _ = nearest_lists(centroids, coarse, threads)
    lists = fill_lists(near, len(coarse), -book.half_norms if sizes is None else sizes)
    return InvertedFile(book, lists, list_radii(coarse, centroids, lists))


def fill_lists(near: Int32Array, nlist: int, priority: Float32Array | Int64Array) -> InvertedLists:
    """Return the centroids of every list and of the overflow list, the last; near: the lists near each, (k, p).

    A list takes at most three times the mean number of centroids, so that no crowded region makes a search cost n x k.
    Of those that find no room the first by `priority` (their rows, or nearness to the mean of all) overflow: with a
    dense middle or a long tail such centroids are near to everyone. Where more than 1 % still find none, nobody would
    find them: lists then take six times the mean.
    """
    filed = np.empty(len(near), np.int32)
    order = np.argsort(-priority, kind="stable")
    for capacity in CAPACITIES:
        most = -(-capacity * len(near) // nlist)
        misfiled = pruned_kernels.file_bounded(near, nlist, most, order, nlist // 2, filed)
        if misfiled <= MISFILED * len(near):
            break
    return invert(filed, nlist + 1)


def list_radii(coarse: Float32Array, centroids: Float32Array, lists: InvertedLists) -> Float32Array:
    """Return how far the farthest centroid of every list lies from its coarse centroid, (nlist,) float32.

    0 for an empty list. The overflow list has no coarse centroid.
    """
    members, starts = lists
    filed = np.repeat(np.arange(len(coarse) + 1), np.diff(starts))
    radii = np.zeros(len(coarse), np.float32)
    for first in range(0, starts[-2], RADII_PER_PART):
        part = slice(first, min(first + RADII_PER_PART, starts[-2]))
        gaps = centroids[members[part]] - coarse[filed[part]]
        np.maximum.at(radii, filed[part], np.sqrt(np.einsum("ij,ij->i", gaps, gaps)))
    return radii


def assign_inverted(
    rows: PreparedRows,
    coarse: CoarseAssignment,
    centroids: Float32Array,
    labels: Int32Array | None = None,
    nprobe: int = NPROBE,
    sizes: Int64Array | None = None,
) -> Int32Array:
    """Return the nearest centroid of every row, (n,) int32, by `search` in lists made for these centroids.

    sizes: (k,) rows of each, None = as `labels` say, where there are any.
    """
    if sizes is None and labels is not None:
        sizes = np.bincount(labels, minlength=len(centroids))
    return search(rows, coarse, build_inverted_file(centroids, coarse.centroids, sizes, rows.threads), labels, nprobe)


def search(
    rows: PreparedRows,
    coarse: CoarseAssignment,
    index: InvertedFile,
    labels: Int32Array | None = None,
    nprobe: int = NPROBE,
) -> Int32Array:
    """Return the nearest centroid of every row among those in its nearest lists, (n,) int32.

    labels: present ones, kept where nothing nearer is found. A row whose lists hold no centroid is compared with all.
    """
    norms, book = rows.norms, index.codebook
    if labels is None:
        nearest = Nearest(np.zeros(len(norms), np.int32), np.full(len(norms), np.inf, np.float32))
    else:
        scores = (squared_distances(rows, book.centroids, labels) - norms) * np.float32(0.5)
        nearest = Nearest(labels.copy(), scores)
    nprobe = min(nprobe, coarse.lists.shape[1])
    for searched, depth in ((0, 1), (1, nprobe)) if labels is None else ((0, nprobe),):
        probes = Probes(coarse.lists, coarse.distances, searched, depth)
        parallel_for(
            lambda first, last, probes=probes: pruned_kernels.nearest_probed(  # type: ignore[misc]
                rows.x, norms, first, last, probes, index, nearest
            ),
            len(norms),
            rows.threads,
            part=1024,
        )
    lost = np.flatnonzero(np.isinf(nearest.scores))
    if lost.size:
        nearest.labels[lost] = nearest_of_all(rows.x[lost], book)
    return nearest.labels


def nearest_of_all(x: Float32Array, book: Codebook) -> Int32Array:
    """Return the nearest centroid of a few rows, (n,) int32, each compared with all."""
    labels = np.empty(len(x), np.int32)
    kernels.nearest_of_all(x, 0, len(x), book, labels)
    return labels
