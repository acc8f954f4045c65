"""Centroid relocation: centroids that are hardly missed move to where the error is, which Lloyd iterations never do.

Removing a centroid costs what its rows lose by going to their next one; a new centroid at a row gains what the rows of
the same cluster save by joining it. Both are known from the last pruned pass, so a centroid is relocated only where
that pays. The idea is that of split-and-merge and breathing k-means (Kaukoranta et al. 1998; Fritzke 2020, arXiv
2006.15666).
"""

from typing import NamedTuple

import numpy as np

from evenkeel.infra.dtypes import BoolArray, Float32Array, Float64Array, Int32Array, Int64Array
from evenkeel.tasks.kmeans.inverted import nearest_of_all
from evenkeel.tasks.kmeans.kernels import InvertedLists, WeightedRows, kernel, squared_gap
from evenkeel.tasks.kmeans.lloyd import codebook, invert
from evenkeel.tasks.kmeans.parallel import parallel_for
from evenkeel.tasks.kmeans.prepare import PreparedRows
from evenkeel.tasks.kmeans.pruned_kernels import Ranking

SHARE = 0.4


class Targets(NamedTuple):
    """Rows that a centroid may move to, (m,) int64, best first, and what each would gain, (m,) float64."""

    rows: Int64Array
    gains: Float64Array


@kernel
def join_gains(
    rows: WeightedRows,
    squared: Float32Array,
    clusters: InvertedLists,
    labels: Int32Array,
    first: int,
    last: int,
    targets: Targets,
) -> None:
    """Find what the rows in the cluster of each target would gain by joining a centroid at it; fills its `gains`."""
    x, weights = rows
    order, starts = clusters
    picks, gains = targets
    for m in range(first, last):
        pick = picks[m]
        seed = x[pick]
        g = labels[pick]
        gain = 0.0
        for at in range(starts[g], starts[g + 1]):
            i = order[at]
            total = squared_gap(x[i], seed)
            if total < squared[i]:
                gain += np.float64(squared[i] - total) * (weights[i] if weights.shape[0] else np.float32(1))
        gains[m] = gain


@kernel
def move_to_targets(
    rows: WeightedRows,
    squared: Float32Array,
    clusters: InvertedLists,
    ranking: Ranking,
    cheapest: Int64Array,
    targets: Targets,
    labels: Int32Array,
    centroids: Float32Array,
) -> BoolArray:
    """Move centroids, `cheapest` to remove first, to the targets while that pays; return which moved, (k,).

    A centroid stays where a row's second and third nearest are gone already, and where a target lies in its cluster.
    Rows whose next centroids were removed later get the label -1.
    """
    x, weights = rows
    order, starts = clusters
    ids, scores = ranking
    picks, gains = targets
    k = centroids.shape[0]
    gone = np.zeros(k, np.bool_)
    host = np.zeros(k, np.bool_)
    for pick in picks:
        host[labels[pick]] = True
    moved = 0
    for g in cheapest:
        if moved == picks.shape[0]:
            break
        if host[g]:
            continue
        cost = 0.0
        for at in range(starts[g], starts[g + 1]):
            i = order[at]
            t = 1
            while t < 3 and (ids[i, t] < 0 or gone[ids[i, t]]):
                t += 1
            if t == 3:
                cost = np.inf
                break
            cost += 2.0 * np.float64(scores[i, t] - scores[i, 0]) * (weights[i] if weights.shape[0] else np.float32(1))
        if not cost < gains[moved]:
            continue
        gone[g] = True
        pick = picks[moved]
        source = ids[pick, 0]
        for at in range(starts[source], starts[source + 1]):
            i = order[at]
            total = squared_gap(x[i], x[pick])
            if total < squared[i]:
                labels[i] = g
        centroids[g] = x[pick]
        moved += 1
    for g in cheapest:
        if gone[g]:
            for at in range(starts[g], starts[g + 1]):
                i = order[at]
                t = 1
                while t < 3 and (ids[i, t] < 0 or gone[ids[i, t]]):
                    t += 1
                labels[i] = ids[i, t] if t < 3 else -1
    return gone


def relocate(
    rows: PreparedRows,
    centroids: Float32Array,
    labels: Int32Array,
    ranking: Ranking,
    squared: Float32Array,
    rng: np.random.Generator,
) -> Int64Array:
    """Move up to 40 % of the centroids to rows drawn by weight x squared distance, in place; return which moved.

    labels (n,), centroids (k, d) are changed; ranking and squared (n,) are those of the last pruned pass.
    """
    k = len(centroids)
    clusters = invert(labels, k)
    targets = _draw_targets(rows, labels, squared, max(1, int(2 * SHARE * k)), rng)
    if targets is None:
        return np.empty(0, np.int64)
    parallel_for(
        lambda first, last: join_gains(rows.weighted, squared, clusters, labels, first, last, targets),
        len(targets.rows),
        rows.threads,
        part=64,
    )
    best = np.argsort(-targets.gains, kind="stable")[: max(1, int(SHARE * k))]
    loss = 2.0 * (ranking.scores[:, 1] - ranking.scores[:, 0]).astype(np.float64)
    if rows.weights.size:
        loss *= rows.weights
    removal = np.bincount(labels, weights=np.where(np.isfinite(loss), loss, 1e300), minlength=k)
    cheapest = np.argsort(removal, kind="stable")[: 4 * len(best)]
    chosen = Targets(targets.rows[best], targets.gains[best])
    moved = np.flatnonzero(
        move_to_targets(rows.weighted, squared, clusters, ranking, cheapest, chosen, labels, centroids)
    )
    orphans = np.flatnonzero(labels < 0)
    if orphans.size:
        labels[orphans] = nearest_of_all(rows.x[orphans], codebook(centroids))
    return moved


def _draw_targets(
    rows: PreparedRows, labels: Int32Array, squared: Float32Array, number: int, rng: np.random.Generator
) -> Targets | None:
    """Draw rows by weight x squared distance, at most one of a cluster; None where no row has an error."""
    error = squared.astype(np.float64) if not rows.weights.size else squared.astype(np.float64) * rows.weights
    cumulative = np.cumsum(error)
    if not cumulative[-1] > 0:
        return None
    drawn = np.searchsorted(cumulative, rng.random(number) * cumulative[-1], side="right")
    drawn = np.minimum(drawn, len(error) - 1)
    _, firsts = np.unique(labels[drawn], return_index=True)
    picks = drawn[np.sort(firsts)]
    picks = picks[squared[picks] > 0]
    return Targets(picks, np.zeros(len(picks)))
