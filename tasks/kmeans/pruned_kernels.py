"""Compiled loops over short candidate lists: what makes an iteration cost n x 32 products in place of n x k."""

from typing import Any

import numpy as np

from evenkeel.tasks.kmeans.kernels import kernel
from evenkeel.tasks.kmeans.tile import dots

LANES = 16
ROWS = 32
CENTROIDS = 48
PIECE = 64
IN_CACHE = 12
SLACK = np.float32(1.001)


@kernel
def rank_in_lists(
    x: Any,
    order: Any,
    starts: Any,
    which: Any,
    lists: Any,
    centroids: Any,
    half: Any,
    first: int,
    last: int,
    ids: Any,
    scores: Any,
) -> None:
    """For the rows of clusters which[first..last], find the three nearest centroids of their cluster's list.

    order, starts: rows by cluster (`kernels.group_rows`). lists: (k, q) int32 centroids, k where a list has ended.
    Writes ids (n, 3) int32 and scores (n, 3) float32, |c|^2 / 2 - x.c, nearest first; -1 and infinity where none.
    """
    tile = np.empty((3, 4), np.float32)
    near, who = np.empty((PIECE, 3), np.float32), np.empty((PIECE, 3), np.int32)
    for at in range(first, last):
        g = which[at]
        q = 0
        while q < lists.shape[1] and lists[g, q] < centroids.shape[0]:
            q += 1
        for low in range(starts[g], starts[g + 1], PIECE):
            high = min(low + PIECE, starts[g + 1])
            near[: high - low] = np.inf
            who[: high - low] = -1
            for start in range(0, q, IN_CACHE):
                stop = min(start + IN_CACHE, q)
                for i in range(low, high, 4):
                    r0 = order[i]
                    r1, r2, r3 = order[min(i + 1, high - 1)], order[min(i + 2, high - 1)], order[min(i + 3, high - 1)]
                    for j in range(start, stop, 3):
                        c0, c1, c2 = lists[g, j], lists[g, min(j + 1, stop - 1)], lists[g, min(j + 2, stop - 1)]
                        dots(x, r0, r1, r2, r3, centroids, c0, c1, c2, tile)
                        for b in range(min(3, stop - j)):
                            c = lists[g, j + b]
                            for r in range(i - low, min(i + 4, high) - low):
                                score = half[c] - tile[b, r - (i - low)]
                                if score > near[r, 2]:
                                    continue
                                if score < near[r, 0] or (score == near[r, 0] and c < who[r, 0]):
                                    near[r, 2], who[r, 2] = near[r, 1], who[r, 1]
                                    near[r, 1], who[r, 1] = near[r, 0], who[r, 0]
                                    near[r, 0], who[r, 0] = score, c
                                elif score < near[r, 1]:
                                    near[r, 2], who[r, 2] = near[r, 1], who[r, 1]
                                    near[r, 1], who[r, 1] = score, c
                                elif score < near[r, 2]:
                                    near[r, 2], who[r, 2] = score, c
            for r in range(high - low):
                for t in range(3):
                    scores[order[low + r], t] = near[r, t]
                    ids[order[low + r], t] = who[r, t]


@kernel
def nearest_probed(
    x: Any,
    first: int,
    last: int,
    norms: Any,
    probes: Any,
    gaps: Any,
    depth: int,
    radii: Any,
    member: Any,
    begin: Any,
    centroids: Any,
    half: Any,
    labels: Any,
    best: Any,
) -> None:
    """For rows first..last, improve labels (n,) and best (n,) with the centroids of the groups each row probes.

    probes, gaps: (n, p) int32 groups and float32 distances to their centres; the first `depth` are looked into, and
    the last group of all. radii: (G,) float32, how far centroids lie from their group's centre: a group all of whose
    centroids are farther than the best so far is left out. member, begin: centroids by group. best: float32 scores to
    beat; ties go to the lowest index.
    """
    groups = begin.shape[0] - 1
    count = np.zeros(groups + 1, np.int64)
    wanted = np.empty((last - first, depth + 1), np.bool_)
    for i in range(first, last):
        reach = np.sqrt(max(norms[i] + np.float32(2) * best[i], np.float32(0))) * SLACK
        for t in range(depth):
            g = probes[i, t]
            wanted[i - first, t] = gaps[i, t] <= reach + radii[g]
            count[g + 1] += wanted[i - first, t]
        wanted[i - first, depth] = True
    count[groups] += last - first
    for g in range(groups):
        count[g + 1] += count[g]
    cursor = count.copy()
    rows = np.empty(count[groups], np.int64)
    for i in range(first, last):
        for t in range(depth + 1):
            if wanted[i - first, t]:
                g = probes[i, t] if t < depth else groups - 1
                rows[cursor[g]] = i
                cursor[g] += 1
    tile = np.empty((3, 4), np.float32)
    for g in range(groups):
        low, high = count[g], count[g + 1]
        stop = begin[g + 1]
        for at in range(low, high, 4):
            m = min(4, high - at)
            r0 = rows[at]
            r1, r2, r3 = rows[min(at + 1, high - 1)], rows[min(at + 2, high - 1)], rows[min(at + 3, high - 1)]
            for j in range(begin[g], stop, 3):
                c0, c1, c2 = member[j], member[min(j + 1, stop - 1)], member[min(j + 2, stop - 1)]
                dots(x, r0, r1, r2, r3, centroids, c0, c1, c2, tile)
                for b in range(min(3, stop - j)):
                    c = member[j + b]
                    for a in range(m):
                        r = rows[at + a]
                        score = half[c] - tile[b, a]
                        if score < best[r] or (score == best[r] and c < labels[r]):
                            best[r] = score
                            labels[r] = c


@kernel
def nearest_many(x: Any, first: int, last: int, centres: Any, half: Any, out: Any, scores: Any) -> None:
    """For rows first..last, write the q nearest of all (G, d) centres to out (n, q) int32, nearest first; q <= G.

    scores: (n, q) float32 out, |c|^2 / 2 - x.c.
    """
    size, q = centres.shape[0], out.shape[1]
    tile = np.empty((3, 4), np.float32)
    width = (size + LANES - 1) // LANES * LANES + LANES
    score = np.full((ROWS, width), np.inf, np.float32)
    least = np.empty(LANES, np.float32)
    near = np.empty(q, np.float32)
    for start in range(first, last, ROWS):
        stop = min(start + ROWS, last)
        for low in range(0, size, CENTROIDS):
            high = min(low + CENTROIDS, size)
            for i in range(start, stop, 4):
                i1, i2, i3 = min(i + 1, stop - 1), min(i + 2, stop - 1), min(i + 3, stop - 1)
                for j in range(low, high, 3):
                    dots(x, i, i1, i2, i3, centres, j, min(j + 1, high - 1), min(j + 2, high - 1), tile)
                    for b in range(min(3, high - j)):
                        for a in range(min(4, stop - i)):
                            score[i + a - start, j + b] = half[j + b] - tile[b, a]
        for i in range(start, stop):
            a = i - start
            worst = np.float32(np.inf)
            if q <= LANES <= size:
                # Each lane's least score is a different centre, so the q nearest lie at or below the largest of them.
                for t in range(LANES):
                    least[t] = np.inf
                for j in range(0, width, LANES):
                    for t in range(LANES):
                        if score[a, j + t] < least[t]:
                            least[t] = score[a, j + t]
                worst = least[0]
                for t in range(1, LANES):
                    worst = max(worst, least[t])
            filled = 0
            for j in range(size):
                s = score[a, j]
                if s > worst or (filled == q and s >= near[q - 1]):
                    continue
                t = filled if filled < q else q - 1
                while t > 0 and near[t - 1] > s:
                    near[t] = near[t - 1]
                    out[i, t] = out[i, t - 1]
                    t -= 1
                near[t] = s
                out[i, t] = j
                if filled < q:
                    filled += 1
            scores[i, :] = near


@kernel
def file_bounded(probes: Any, groups: int, most: int, first: Any, common: int, filed: Any) -> int:
    """Write to filed (k,) int32 the first group that each centroid probes with room for it, `most` per group.

    Centroids that find no room go, in the order of first (k,), to group number `groups`, which takes `common` of them
    and which everyone searches; then to the group with the fewest. Returns how many of these there are.
    """
    load = np.zeros(groups, np.int64)
    filed[:] = -1
    for t in range(probes.shape[1]):
        for c in range(probes.shape[0]):
            g = probes[c, t]
            if filed[c] < 0 and load[g] < most:
                filed[c] = g
                load[g] += 1
    lost = 0
    for c in first:
        if filed[c] < 0 and common > 0:
            filed[c] = groups
            common -= 1
        elif filed[c] < 0:
            g = np.argmin(load)
            filed[c] = g
            load[g] += 1
            lost += 1
    return lost
