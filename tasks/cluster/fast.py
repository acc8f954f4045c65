"""Neighbour-pruned Lloyd iterations with swaps: n x 32 products each in place of n x k.

A row is compared with the 32 centroids nearest its present one. That alone ends in local minima, so there are two ways
out: swaps move centroids to where the error is, and a search through the coarse groups repairs rows that went astray.
"""

import numpy as np

from tasks.cluster import pruned
from tasks.cluster.groups import PROBES, Groups, Ints, file_centroids, search
from tasks.cluster.lloyd import Labels, Watch, half_norms, members, reseed_empty, total, update
from tasks.cluster.prepare import Floats, Rows
from tasks.cluster.swap import swap
from tasks.cluster.threads import spread

NEIGHBOURS = 32
SWAP_SHARE = 0.4
REPAIR_AT = 4
REFRESH = 3
ASTRAY = 0.01


def pruned_lloyd(
    rows: Rows,
    groups: Groups,
    centroids: Floats,
    labels: Labels | None,
    iterations: int,
    tolerance: float,
    rng: np.random.Generator,
    watch: Watch | None,
) -> tuple[Floats, Labels, int]:
    """Improve centroids in place: (centroids, labels of the nearest found, iterations run).

    Swaps are tried in all but the last quarter of the iterations. A repair comes after the fourth, and again where the
    inertia settles although the last repair moved more than 1 % of the rows. It stops when the inertia has settled: an
    iteration lowers it by less than `tolerance` of itself.
    """
    if labels is None:
        labels = search(rows, groups, centroids, None, PROBES // 4)
        update(rows, centroids, *members(labels, len(centroids)))
    n, k = len(labels), len(centroids)
    ids, scores = np.empty((n, 3), np.int32), np.empty((n, 3), np.float32)
    lists, age = neighbour_lists(centroids, groups, rows.threads), 0
    before, ran, astray = np.inf, 0, 1.0
    for ran in range(1, iterations + 1):
        if age >= REFRESH:
            lists, age = neighbour_lists(centroids, groups, rows.threads), 0
        rank(rows, centroids, labels, lists, ids, scores)
        strays = int((ids[:, 0] != labels).sum())
        labels = np.ascontiguousarray(ids[:, 0])
        squared = np.maximum(rows.norms + 2 * scores[:, 0], 0)
        inertia = total(rows, squared)
        settled = inertia >= before * (1 - tolerance)
        swapped = 0
        if ran <= iterations - iterations // 4 and not (settled and astray <= ASTRAY):
            swapped = swap(rows, centroids, labels, ids, scores, squared, SWAP_SHARE, rng)
        else:
            swapped = reseed_empty(rows, centroids, labels, squared)
        if ran == REPAIR_AT or (settled and astray > ASTRAY):
            found = search(rows, groups, centroids, labels)
            labels, astray, settled = found, float((found != labels).mean()), False
        if watch is not None:
            watch(ran, inertia / rows.scale**2, strays, swapped)
        update(rows, centroids, *members(labels, k))
        age = REFRESH if swapped else age + 1
        if settled and swapped <= k // 1000:
            break
        before = inertia
    return centroids, search(rows, groups, centroids, labels), ran


def neighbour_lists(centroids: Floats, groups: Groups, threads: int) -> Ints:
    """Return the centroids nearest to each, itself first, (k, 32) int32, padded by -1; found through the groups."""
    near, (member, begin) = file_centroids(centroids, groups, PROBES // 2, threads)
    half = half_norms(centroids)
    lists = np.empty((len(centroids), min(NEIGHBOURS, len(centroids))), np.int32)
    spread(
        lambda first, last: pruned.list_neighbours(centroids, half, near, member, begin, first, last, lists),
        len(centroids),
        threads,
        part=256,
    )
    return lists


def rank(rows: Rows, centroids: Floats, labels: Labels, lists: Ints, ids: Ints, scores: Floats) -> None:
    """Write the three nearest centroids in the list of its present one for every row to ids and scores, (n, 3)."""
    order, starts = members(labels, len(centroids))
    half = half_norms(centroids)
    spread(
        lambda first, last: pruned.rank_in_lists(
            rows.x, order, starts, lists, centroids, half, first, last, ids, scores
        ),
        len(centroids),
        rows.threads,
        part=128,
    )
