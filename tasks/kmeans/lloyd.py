"""Lloyd's iteration: assign, update, re-seed what is empty. The exact path, and the oracle of the fast one."""

from typing import Protocol

import numpy as np

from evenkeel.infra.dtypes import Array, BoolArray, Float32Array, Int32Array, Int64Array
from evenkeel.tasks.kmeans import kernels
from evenkeel.tasks.kmeans.kernels import Codebook, InvertedLists
from evenkeel.tasks.kmeans.options import Fit, FitState, Hooks, Iteration, Options
from evenkeel.tasks.kmeans.parallel import parallel_for
from evenkeel.tasks.kmeans.prepare import PreparedRows
from evenkeel.tasks.kmeans.refine import Search

MEANS_PER_PART = 256


def codebook(centroids: Float32Array) -> Codebook:
    """Return (k, d) centroids with half their squared norms."""
    half = np.empty(len(centroids), np.float32)
    kernels.half_norms(centroids, half)
    return Codebook(centroids, half)


def assign_exact(rows: PreparedRows, centroids: Float32Array) -> Int32Array:
    """Return the nearest centroid of every row, (n,) int32; ties go to the lowest index."""
    labels, book = np.empty(len(rows.x), np.int32), codebook(centroids)
    parallel_for(
        lambda first, last: kernels.nearest_of_all(rows.x, first, last, book, labels),
        len(labels),
        rows.threads,
        part=1024,
    )
    return labels


def squared_distances(rows: PreparedRows, centroids: Float32Array, labels: Int32Array) -> Float32Array:
    """Return the squared distance of every row to the centroid of its label, (n,) float32."""
    out = np.empty(len(labels), np.float32)
    parallel_for(
        lambda first, last: kernels.squared_distances(rows.x, first, last, centroids, labels, out),
        len(labels),
        rows.threads,
    )
    return out


def invert(labels: Int32Array, k: int) -> InvertedLists:
    """Return the rows of every one of k clusters, given the cluster of every row."""
    lists = InvertedLists(np.empty(len(labels), np.int64), np.empty(k + 1, np.int64))
    kernels.invert(labels, lists)
    return lists


def weighted_sum(rows: PreparedRows, squared: Float32Array) -> float:
    """Return the weighted sum of squared distances, added in float64."""
    return float(
        squared.sum(dtype=np.float64) if not rows.weights.size else np.dot(squared.astype(np.float64), rows.weights)
    )


def move_to_means(
    rows: PreparedRows, centroids: Float32Array, clusters: InvertedLists, which: Int64Array | None = None
) -> None:
    """Move centroids, all or `which`, to the weighted mean of their rows, in place; one of an empty cluster stays."""
    moving = np.arange(len(centroids)) if which is None else which
    parallel_for(
        lambda first, last: kernels.means(rows.weighted, clusters, moving, first, last, centroids),
        len(moving),
        rows.threads,
        part=MEANS_PER_PART,
    )
    if rows.spherical:
        moved = centroids[moving]
        to_sphere(moved)
        centroids[moving] = moved


def update(rows: PreparedRows, centroids: Float32Array, labels: Int32Array) -> None:
    """Move every centroid to the weighted mean of the rows of its label, in place."""
    move_to_means(rows, centroids, invert(labels, len(centroids)))


def to_sphere(centroids: Float32Array) -> None:
    """Scale every centroid to length 1, in place; one of length zero stays."""
    length = np.sqrt(np.einsum("ij,ij->i", centroids, centroids, dtype=np.float64))
    centroids /= np.where(length > 0, length, 1)[:, None].astype(np.float32)


def reseed_empty(rows: PreparedRows, centroids: Float32Array, labels: Int32Array, squared: Float32Array) -> Int64Array:
    """Give every empty cluster the row with the largest error, in place, and return the clusters re-seeded.

    Largest weighted error first, ties to the lowest row; never the last row of another cluster, never a row that
    lies on its centroid. Where such rows run out, clusters stay empty.
    """
    sizes = np.bincount(labels, minlength=len(centroids))
    empty = np.flatnonzero(sizes == 0)
    if not empty.size:
        return empty
    error = squared * rows.weights if rows.weights.size else squared
    candidates = np.flatnonzero(error > 0)
    if len(candidates) > 4 * len(empty):
        floor = np.partition(error[candidates], len(candidates) - 4 * len(empty))[len(candidates) - 4 * len(empty)]
        candidates = candidates[error[candidates] >= floor]
    candidates = candidates[np.argsort(-error[candidates], kind="stable")]
    chosen = candidates[choose_fillers(labels[candidates], sizes, len(empty))]
    filled = empty[: len(chosen)]
    labels[chosen], squared[chosen], centroids[filled] = filled, 0, rows.x[chosen]
    return filled


def choose_fillers(labels: Int32Array, sizes: Int64Array, most: int) -> BoolArray:
    """Return which of some rows, best first, leave their clusters, (m,): up to `most`, never the last of a cluster.

    labels: (m,) their clusters. sizes: (k,) rows of every cluster; used up.
    """
    chosen, found = np.zeros(len(labels), np.bool_), 0
    for place, label in enumerate(labels.tolist()):
        if found == most:
            break
        if sizes[label] > 1:
            sizes[label] -= 1
            chosen[place] = True
            found += 1
    return chosen


def nearest_members(labels: Int32Array, squared: Float32Array, r: int) -> Int64Array:
    """Return the rows among the r nearest to the centroid of their cluster, cluster by cluster, nearest first.

    Ties go to the lowest row.
    """
    order = np.lexsort((squared, labels))
    ordered = labels[order]
    starts = np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1])))
    sizes = np.diff(np.concatenate((starts, [len(ordered)])))
    rank = np.arange(len(ordered)) - np.repeat(starts, sizes)
    return order[rank < r]


class HostSearch:
    """Rows in this machine's memory: what both kinds of iteration ask of them."""

    def __init__(self, rows: PreparedRows) -> None:
        self.rows = rows

    @property
    def scale(self) -> float:
        """The scale of the working coordinates."""
        return self.rows.frame.scale

    def put(self, array: Array) -> Array:
        """Return the array: rows are where it is."""
        return array

    get = put

    def total(self, squared: Float32Array) -> float:
        """Return the weighted sum of squared distances."""
        return weighted_sum(self.rows, squared)

    def count_changed(self, labels: Int32Array, previous: Int32Array | None) -> int:
        """Return how many labels differ; None: all do."""
        return len(labels) if previous is None else int((labels != previous).sum())

    def reseed_empty(self, centroids: Float32Array, labels: Int32Array, squared: Float32Array) -> Int64Array:
        """Give every empty cluster the row with the largest error, in place."""
        return reseed_empty(self.rows, centroids, labels, squared)


class ExactSearch(Search, Protocol):
    """A search that compares every row with every centroid."""

    def assign(self, centroids: Float32Array) -> Int32Array:
        """Return the nearest centroid of every row, (n,) int32; ties go to the lowest index."""

    def squared(self, centroids: Float32Array, labels: Int32Array) -> Float32Array:
        """Return the squared distance of every row to the centroid of its label, (n,) float32."""

    def move(self, centroids: Float32Array, labels: Int32Array) -> None:
        """Move centroids to the weighted means of the rows of their label, in place."""


class HostExactSearch(HostSearch):
    """Rows in this machine's memory, compared with every centroid."""

    def assign(self, centroids: Float32Array) -> Int32Array:
        """Return the nearest centroid of every row."""
        return assign_exact(self.rows, centroids)

    def squared(self, centroids: Float32Array, labels: Int32Array) -> Float32Array:
        """Return the squared distance of every row to the centroid of its label."""
        return squared_distances(self.rows, centroids, labels)

    def move(self, centroids: Float32Array, labels: Int32Array) -> None:
        """Move centroids to the means of their rows."""
        update(self.rows, centroids, labels)


def lloyd(search: ExactSearch, centroids: Float32Array, options: Options, hooks: Hooks) -> Fit:
    """Run Lloyd iterations from given centroids, (k, d), in place, and a last assignment."""
    before, start = np.inf, 0
    previous: Int32Array | None = None
    if hooks.resume is not None:
        state = hooks.resume
        centroids, previous = search.put(state.centroids), search.put(state.labels)
        before, start = state.inertia, state.iterations
    ran = start
    for ran in range(start + 1, options.iterations + 1):
        labels = search.assign(centroids)
        squared = search.squared(centroids, labels)
        reseeded = len(search.reseed_empty(centroids, labels, squared))
        inertia = search.total(squared)
        if hooks.on_iteration is not None:
            moved = search.count_changed(labels, previous)
            hooks.on_iteration(Iteration(ran, inertia / search.scale**2, moved, reseeded))
        search.move(centroids, labels)
        if inertia >= before * (1 - options.tolerance) and not reseeded:
            break
        before, previous = inertia, labels
        if (save := hooks.save_after(ran)) is not None:
            save(FitState(ran, search.get(centroids), search.get(labels), inertia, 0.0, {}))
    return Fit(centroids, search.assign(centroids), ran)
