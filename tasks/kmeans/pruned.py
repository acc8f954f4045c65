"""Neighbour-pruned Lloyd iterations with centroid relocation: n x 32 products each in place of n x k.

A row is compared with the 32 centroids nearest its present one. That alone ends in local minima, so there are two ways
out: relocation moves centroids to where the error is, and a search of the inverted lists repairs misassigned rows.
"""

import numpy as np

from evenkeel.infra.dtypes import BoolArray, Float32Array, Int32Array, Int64Array
from evenkeel.tasks.kmeans import pruned_kernels
from evenkeel.tasks.kmeans.coarse import NPROBE, CoarseAssignment
from evenkeel.tasks.kmeans.inverted import assign_inverted
from evenkeel.tasks.kmeans.kernels import InvertedLists
from evenkeel.tasks.kmeans.lloyd import SAVE_EVERY, codebook, invert, move_to_means, reseed_empty, weighted_sum
from evenkeel.tasks.kmeans.neighbours import Neighbours
from evenkeel.tasks.kmeans.options import Fit, FitState, Hooks, Iteration, Options
from evenkeel.tasks.kmeans.parallel import parallel_for
from evenkeel.tasks.kmeans.prepare import PreparedRows
from evenkeel.tasks.kmeans.pruned_kernels import Ranking
from evenkeel.tasks.kmeans.relocation import relocate

REPAIR_AT = 4
REBUILD_EVERY = 3
MISASSIGNED = 0.01
REBUILD_SHARE = 0.02


def pruned_lloyd(
    rows: PreparedRows,
    coarse: CoarseAssignment,
    centroids: Float32Array,
    options: Options,
    rng: np.random.Generator,
    hooks: Hooks,
) -> Fit:
    """Improve centroids in place, then assign every row to the nearest that the inverted lists find.

    Centroids are relocated in all but the last quarter of the iterations. A repair comes after the fourth, and again
    where the inertia settles although the last repair moved more than 1 % of the rows. It stops when the inertia has
    settled: an iteration lowers it by less than `options.tolerance` of itself. States are saved after every fourth
    iteration, when all neighbour lists are found anew, so that nothing else is needed to go on.
    """
    before, start, misassigned, k = np.inf, 0, 1.0, len(centroids)
    if hooks.resume is not None:
        state = hooks.resume
        centroids, labels, start, before = state.centroids, state.labels, state.iterations, state.inertia
        misassigned, rng.bit_generator.state = state.misassigned, state.random
        clusters, age = invert(labels, k), REBUILD_EVERY
    else:
        labels = assign_inverted(rows, coarse, centroids, nprobe=NPROBE // 4)
        clusters, age = invert(labels, k), 0
        move_to_means(rows, centroids, clusters)
    n = len(labels)
    ranking = Ranking(np.empty((n, 3), np.int32), np.empty((n, 3), np.float32))
    neighbours = Neighbours(centroids, coarse.centroids, rows.threads)
    stale, ran = np.ones(k, np.bool_), start
    for ran in range(start + 1, options.iterations + 1):
        if age >= REBUILD_EVERY:
            stale |= neighbours.rebuild(centroids, np.diff(clusters.starts))
            age = 0
        rank(rows, centroids, clusters, neighbours.lists, np.flatnonzero(stale), ranking)
        previous, labels = labels, np.ascontiguousarray(ranking.ids[:, 0])
        rows_moved = int((labels != previous).sum())
        squared = np.maximum(rows.norms + 2 * ranking.scores[:, 0], 0)
        inertia = weighted_sum(rows, squared)
        settled = inertia >= before * (1 - options.tolerance)
        if ran <= options.iterations - options.iterations // 4 and not (settled and misassigned <= MISASSIGNED):
            moved = relocate(rows, centroids, labels, ranking, squared, rng)
        else:
            moved = reseed_empty(rows, centroids, labels, squared)
        if ran == REPAIR_AT or (settled and misassigned > MISASSIGNED):
            found = assign_inverted(rows, coarse, centroids, labels)
            labels, misassigned, settled = found, float((found != labels).mean()), False
        if hooks.on_iteration is not None:
            hooks.on_iteration(Iteration(ran, inertia / rows.frame.scale**2, rows_moved, len(moved)))
        clusters = invert(labels, k)
        stale = update_changed(rows, centroids, previous, labels, clusters, moved)
        stale = stale | np.append(stale, False)[neighbours.lists].any(axis=1)
        age += 1
        if ran % SAVE_EVERY == 0:
            age, stale = REBUILD_EVERY, np.ones(k, np.bool_)
        elif len(moved) > REBUILD_SHARE * k:
            age = REBUILD_EVERY
        elif len(moved):
            stale |= neighbours.add_moved(centroids, moved, np.diff(clusters.starts))
        if settled and len(moved) <= k // 1000:
            break
        before = inertia
        if hooks.on_state is not None and ran % SAVE_EVERY == 0:
            hooks.on_state(FitState(ran, centroids, labels, inertia, misassigned, dict(rng.bit_generator.state)))
    return Fit(centroids, assign_inverted(rows, coarse, centroids, labels), ran)


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


def rank(
    rows: PreparedRows,
    centroids: Float32Array,
    clusters: InvertedLists,
    neighbours: Int32Array,
    which: Int64Array,
    ranking: Ranking,
) -> None:
    """Rank, for the rows of clusters `which`, the neighbours of their present centroid; fills their part of `ranking`.

    Rows of other clusters keep theirs: no centroid in their list has moved.
    """
    book = codebook(centroids)
    parallel_for(
        lambda first, last: pruned_kernels.rank_in_lists(
            rows.x, clusters, which, first, last, neighbours, book, ranking
        ),
        len(which),
        rows.threads,
        part=128,
    )
