"""Lloyd's iteration: assign, update, re-seed what is empty. The exact path, and the oracle of the fast one."""

from collections.abc import Callable

import numpy as np

from evenkeel.infra.dtypes import Float32Array, Int32Array, Int64Array
from evenkeel.tasks.kmeans import kernels
from evenkeel.tasks.kmeans.kernels import Codebook, InvertedLists
from evenkeel.tasks.kmeans.options import NO_HOOKS, Fit, FitState, Hooks, Iteration, Options
from evenkeel.tasks.kmeans.parallel import parallel_for
from evenkeel.tasks.kmeans.prepare import PreparedRows

MEANS_PER_PART = 256
SAVE_EVERY = 4


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
    filled = 0
    for row in candidates:
        if filled == len(empty):
            break
        if sizes[labels[row]] > 1:
            sizes[labels[row]] -= 1
            labels[row] = empty[filled]
            centroids[empty[filled]] = rows.x[row]
            squared[row] = 0
            filled += 1
    return empty[:filled]


def lloyd(
    rows: PreparedRows,
    centroids: Float32Array,
    options: Options,
    hooks: Hooks = NO_HOOKS,
    assign: Callable[[PreparedRows, Float32Array], Int32Array] = assign_exact,
    update: Callable[[PreparedRows, Float32Array, Int32Array], None] = update,
) -> Fit:
    """Run Lloyd iterations from given centroids, in place, and a last assignment.

    assign, update: the two halves of an iteration, where another device does them.
    """
    before, previous, start = np.inf, np.full(len(rows.x), -1, np.int32), 0
    if hooks.resume is not None:
        state = hooks.resume
        centroids, before, previous, start = state.centroids, state.inertia, state.labels, state.iterations
    ran = start
    for ran in range(start + 1, options.iterations + 1):
        labels = assign(rows, centroids)
        squared = squared_distances(rows, centroids, labels)
        reseeded = len(reseed_empty(rows, centroids, labels, squared))
        inertia = weighted_sum(rows, squared)
        if hooks.on_iteration is not None:
            moved = int((labels != previous).sum())
            hooks.on_iteration(Iteration(ran, inertia / rows.frame.scale**2, moved, reseeded))
        update(rows, centroids, labels)
        if inertia >= before * (1 - options.tolerance) and not reseeded:
            break
        before, previous = inertia, labels
        if hooks.on_state is not None and ran % SAVE_EVERY == 0:
            hooks.on_state(FitState(ran, centroids, labels, inertia, 0.0, {}))
    return Fit(centroids, assign(rows, centroids), ran)
