"""Neighbour-pruned Lloyd iterations with swaps: n x 32 products each in place of n x k.

A row is compared with the 32 centroids nearest its present one. That alone ends in local minima, so there are two ways
out: swaps move centroids to where the error is, and a search through the coarse groups repairs rows that went astray.
"""

import numpy as np
import numpy.typing as npt

from evenkeel.tasks.kmeans import pruned_kernels as pruned
from evenkeel.tasks.kmeans.groups import PROBES, Groups, Ints, search
from evenkeel.tasks.kmeans.lloyd import (
    BATCH,
    Keep,
    Labels,
    Members,
    State,
    Watch,
    half_norms,
    members,
    reseed_empty,
    total,
    update,
)
from evenkeel.tasks.kmeans.neighbours import Neighbours
from evenkeel.tasks.kmeans.prepare import Floats, Rows
from evenkeel.tasks.kmeans.swap import swap
from evenkeel.tasks.kmeans.threads import spread

SWAP_SHARE = 0.4
REPAIR_AT = 4
REFRESH = 3
ASTRAY = 0.01
PATCH = 0.02


def pruned_lloyd(
    rows: Rows,
    groups: Groups,
    centroids: Floats,
    labels: Labels | None,
    iterations: int,
    tolerance: float,
    rng: np.random.Generator,
    watch: Watch | None,
    start: State | None = None,
    keep: Keep | None = None,
) -> tuple[Floats, Labels, int]:
    """Improve centroids in place: (centroids, labels of the nearest found, iterations run).

    Swaps are tried in all but the last quarter of the iterations. A repair comes after the fourth, and again where the
    inertia settles although the last repair moved more than 1 % of the rows. It stops when the inertia has settled: an
    iteration lowers it by less than `tolerance` of itself. start: go on from there. keep: told the state after every
    fourth iteration, when all lists are found anew, so that nothing else is needed to go on.
    """
    before, ran, astray = np.inf, 0, 1.0
    if start is not None:
        centroids, labels, ran, before, astray = start.centroids, start.labels, start.ran, start.inertia, start.astray
        rng.bit_generator.state = start.random
    elif labels is None:
        labels = search(rows, groups, centroids, None, PROBES // 4)
        update(rows, centroids, *members(labels, len(centroids)))
    n, k = len(labels), len(centroids)
    ids, scores = np.empty((n, 3), np.int32), np.empty((n, 3), np.float32)
    near, age = Neighbours(centroids, groups, rows.threads), 0 if start is None else REFRESH
    filed = members(labels, k)
    stale = np.ones(k, np.bool_)
    for ran in range(1 if start is None else start.ran + 1, iterations + 1):
        if age >= REFRESH:
            stale |= near.renew(centroids, np.diff(filed[1]))
            age = 0
        rank(rows, centroids, filed, near.lists, np.flatnonzero(stale), ids, scores)
        held, labels = labels, np.ascontiguousarray(ids[:, 0])
        strays = int((labels != held).sum())
        squared = np.maximum(rows.norms + 2 * scores[:, 0], 0)
        inertia = total(rows, squared)
        settled = inertia >= before * (1 - tolerance)
        if ran <= iterations - iterations // 4 and not (settled and astray <= ASTRAY):
            moved = swap(rows, centroids, labels, ids, scores, squared, SWAP_SHARE, rng)
        else:
            moved = reseed_empty(rows, centroids, labels, squared)
        if ran == REPAIR_AT or (settled and astray > ASTRAY):
            found = search(rows, groups, centroids, labels)
            labels, astray, settled = found, float((found != labels).mean()), False
        if watch is not None:
            watch(ran, inertia / rows.scale**2, strays, len(moved))
        filed = members(labels, k)
        stale = refill(rows, centroids, held, labels, filed, moved)
        stale = stale | np.append(stale, False)[near.lists].any(axis=1)
        age += 1
        if ran % BATCH == 0:
            age, stale = REFRESH, np.ones(k, np.bool_)
        elif len(moved) > PATCH * k:
            age = REFRESH
        elif len(moved):
            stale |= near.patch(centroids, moved, np.diff(filed[1]))
        if settled and len(moved) <= k // 1000:
            break
        before = inertia
        if keep is not None and ran % BATCH == 0:
            keep(State(ran, centroids, labels, inertia, astray, dict(rng.bit_generator.state)))
    return centroids, search(rows, groups, centroids, labels), ran


def refill(
    rows: Rows, centroids: Floats, held: Labels, labels: Labels, filed: Members, moved: npt.NDArray[np.int64]
) -> npt.NDArray[np.bool_]:
    """Move the centroids whose members have changed to their mean, in place; return whose members have changed, (k,).

    held, labels: (n,) before and after. moved: clusters that were put elsewhere.
    """
    changed = np.zeros(len(centroids), np.bool_)
    different = np.flatnonzero(held != labels)
    changed[held[different]] = changed[labels[different]] = changed[moved] = True
    update(rows, centroids, *filed, np.flatnonzero(changed))
    return changed


def rank(
    rows: Rows,
    centroids: Floats,
    filed: Members,
    lists: Ints,
    which: npt.NDArray[np.int64],
    ids: Ints,
    scores: Floats,
) -> None:
    """Write the three nearest centroids in the list of its present one to ids and scores, (n, 3), for rows of `which`.

    Rows of other clusters keep theirs: no centroid in their list has moved.
    """
    half = half_norms(centroids)
    spread(
        lambda first, last: pruned.rank_in_lists(
            rows.x, *filed, which, lists, centroids, half, first, last, ids, scores
        ),
        len(which),
        rows.threads,
        part=128,
    )
