"""Swaps: centroids that are hardly missed move to where the error is, which plain Lloyd iterations never do.

Removing a centroid costs what its rows lose by going to their next one; a new centroid at a row gains what the rows of
the same cluster save by joining it. Both are known from the last pruned pass, so a swap is made only where it pays. The
idea is that of split-and-merge and breathing k-means (Kaukoranta et al. 1998; Fritzke 2020, arXiv 2006.15666).
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from evenkeel.tasks.kmeans import kernels
from evenkeel.tasks.kmeans.kernels import kernel, squared_gap
from evenkeel.tasks.kmeans.prepare import Floats, Rows
from evenkeel.tasks.kmeans.threads import spread


@kernel
def join_gains(
    x: Any,
    weights: Any,
    squared: Any,
    order: Any,
    starts: Any,
    labels: Any,
    picks: Any,
    first: int,
    last: int,
    gains: Any,
) -> None:
    """Write to gains (m,) float64 what the rows in the cluster of each pick save by joining a centroid at it."""
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
def trade(
    x: Any,
    weights: Any,
    squared: Any,
    order: Any,
    starts: Any,
    ids: Any,
    scores: Any,
    cheapest: Any,
    picks: Any,
    gains: Any,
    labels: Any,
    centroids: Any,
) -> Any:
    """Move centroids, least missed first, to the picks, best first, while that pays; return which moved, (k,) bool.

    A centroid is not removed where a row's second and third nearest are gone already, nor from under a pick. Rows whose
    next centroids were removed later get the label -1.
    """
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


def swap(
    rows: Rows,
    centroids: Floats,
    labels: npt.NDArray[np.int32],
    ids: npt.NDArray[np.int32],
    scores: Floats,
    squared: Floats,
    share: float,
    rng: np.random.Generator,
) -> npt.NDArray[np.int64]:
    """Move up to `share` of the centroids to rows drawn by weight x squared distance, in place; return which moved.

    labels (n,), centroids (k, d) are changed; ids, scores (n, 3), squared (n,) are those of the last pruned pass.
    """
    k = len(centroids)
    order, starts = np.empty(len(labels), np.int64), np.empty(k + 1, np.int64)
    kernels.group_rows(labels, k, order, starts)
    mass = squared.astype(np.float64) if not rows.weights.size else squared.astype(np.float64) * rows.weights
    cumulative = np.cumsum(mass)
    if not cumulative[-1] > 0:
        return np.empty(0, np.int64)
    drawn = np.searchsorted(cumulative, rng.random(max(1, int(2 * share * k))) * cumulative[-1], side="right")
    drawn = np.minimum(drawn, len(mass) - 1)
    _, firsts = np.unique(labels[drawn], return_index=True)
    picks = drawn[np.sort(firsts)]
    picks = picks[squared[picks] > 0]
    gains = np.zeros(len(picks))
    spread(
        lambda first, last: join_gains(rows.x, rows.weights, squared, order, starts, labels, picks, first, last, gains),
        len(picks),
        rows.threads,
        part=64,
    )
    best = np.argsort(-gains, kind="stable")[: max(1, int(share * k))]
    loss = 2.0 * (scores[:, 1] - scores[:, 0]).astype(np.float64)
    if rows.weights.size:
        loss *= rows.weights
    missed = np.bincount(labels, weights=np.where(np.isfinite(loss), loss, 1e300), minlength=k)
    cheapest = np.argsort(missed, kind="stable")[: 4 * len(best)]
    moved = np.flatnonzero(
        trade(
            rows.x,
            rows.weights,
            squared,
            order,
            starts,
            ids,
            scores,
            cheapest,
            picks[best],
            gains[best],
            labels,
            centroids,
        )
    )
    orphans = np.flatnonzero(labels < 0)
    if orphans.size:
        found = np.empty(len(orphans), np.int32)
        half = np.empty(k, np.float32)
        kernels.half_norms(centroids, half)
        kernels.nearest_of_all(rows.x[orphans], 0, len(orphans), centroids, half, found)
        labels[orphans] = found
    return moved
