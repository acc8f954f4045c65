"""Lloyd's iteration: assign, update, re-seed what is empty. The exact path, and the oracle of the fast one."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from evenkeel.tasks.kmeans import kernels
from evenkeel.tasks.kmeans.prepare import Floats, Rows
from evenkeel.tasks.kmeans.threads import spread

Labels = npt.NDArray[np.int32]
Watch = Callable[[int, float, int, int], None]
Members = tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]
CLUSTERS = 256
BATCH = 4


@dataclass(frozen=True)
class State:
    """Where a fit stands after `ran` iterations: all that the next ones follow from.

    centroids: (k, d). labels: (n,). inertia: of the last iteration. astray: share of rows that the last repair moved.
    random: state of the bit generator, empty where none is used.
    """

    ran: int
    centroids: Floats
    labels: Labels
    inertia: float
    astray: float
    random: dict[str, Any]


Keep = Callable[[State], None]


def half_norms(centroids: Floats) -> Floats:
    """Return |c|^2 / 2 of (k, d) centroids, (k,) float32."""
    out = np.empty(len(centroids), np.float32)
    kernels.half_norms(centroids, out)
    return out


def assign_exact(rows: Rows, centroids: Floats) -> Labels:
    """Return the nearest centroid of every row, (n,) int32; ties go to the lowest index."""
    labels, half = np.empty(len(rows.x), np.int32), half_norms(centroids)
    spread(
        lambda first, last: kernels.nearest_of_all(rows.x, first, last, centroids, half, labels),
        len(labels),
        rows.threads,
        part=1024,
    )
    return labels


def squared_distances(rows: Rows, centroids: Floats, labels: Labels) -> Floats:
    """Return the squared distance of every row to the centroid of its label, (n,) float32."""
    out = np.empty(len(labels), np.float32)
    spread(
        lambda first, last: kernels.squared_distances(rows.x, first, last, centroids, labels, out),
        len(labels),
        rows.threads,
    )
    return out


def members(labels: Labels, k: int) -> Members:
    """Return (order, starts): the rows of cluster g are order[starts[g]:starts[g + 1]], ascending."""
    order, starts = np.empty(len(labels), np.int64), np.empty(k + 1, np.int64)
    kernels.group_rows(labels, k, order, starts)
    return order, starts


def total(rows: Rows, squared: Floats) -> float:
    """Return the weighted sum of squared distances, added in float64."""
    return float(
        squared.sum(dtype=np.float64) if not rows.weights.size else np.dot(squared.astype(np.float64), rows.weights)
    )


def update(
    rows: Rows,
    centroids: Floats,
    order: npt.NDArray[np.int64],
    starts: npt.NDArray[np.int64],
    which: npt.NDArray[np.int64] | None = None,
) -> None:
    """Move centroids, all or `which`, to the weighted mean of their members, in place; an empty cluster stays."""
    which = np.arange(len(centroids)) if which is None else which
    spread(
        lambda first, last: kernels.means(rows.x, rows.weights, order, starts, which, first, last, centroids),
        len(which),
        rows.threads,
        part=CLUSTERS,
    )
    if rows.spherical:
        moved = centroids[which]
        to_sphere(moved)
        centroids[which] = moved


def to_means(rows: Rows, centroids: Floats, labels: Labels) -> None:
    """Move every centroid to the weighted mean of the rows of its label, in place."""
    update(rows, centroids, *members(labels, len(centroids)))


def to_sphere(centroids: Floats) -> None:
    """Scale every centroid to length 1, in place; one of length zero stays."""
    length = np.sqrt(np.einsum("ij,ij->i", centroids, centroids, dtype=np.float64))
    centroids /= np.where(length > 0, length, 1)[:, None].astype(np.float32)


def reseed_empty(rows: Rows, centroids: Floats, labels: Labels, squared: Floats) -> npt.NDArray[np.int64]:
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
    rows: Rows,
    centroids: Floats,
    iterations: int,
    tolerance: float,
    watch: Watch | None = None,
    start: State | None = None,
    keep: Keep | None = None,
    assign: Callable[[Rows, Floats], Labels] = assign_exact,
    move: Callable[[Rows, Floats, Labels], None] = to_means,
) -> tuple[Floats, Labels, int]:
    """Run Lloyd iterations and a last assignment: (centroids, labels of the nearest of them, iterations run).

    start: go on from there. keep: told the state after every fourth iteration. assign, move: the two halves of an
    iteration, where another device does them.
    """
    before, previous, ran = np.inf, np.full(len(rows.x), -1, np.int32), 0
    if start is not None:
        centroids, before, previous, ran = start.centroids, start.inertia, start.labels, start.ran
    for ran in range(1 if start is None else start.ran + 1, iterations + 1):
        labels = assign(rows, centroids)
        squared = squared_distances(rows, centroids, labels)
        reseeded = len(reseed_empty(rows, centroids, labels, squared))
        inertia = total(rows, squared)
        if watch is not None:
            watch(ran, inertia / rows.scale**2, int((labels != previous).sum()), reseeded)
        move(rows, centroids, labels)
        if inertia >= before * (1 - tolerance) and not reseeded:
            break
        before, previous = inertia, labels
        if keep is not None and ran % BATCH == 0:
            keep(State(ran, centroids, labels, inertia, 0.0, {}))
    return centroids, assign(rows, centroids), ran
