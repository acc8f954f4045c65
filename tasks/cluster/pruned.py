"""Compiled loops over short candidate lists: what makes an iteration cost n x 32 products in place of n x k."""

from typing import Any

import numpy as np

from tasks.cluster.kernels import dots, kernel

LANES = 16
SLACK = np.float32(1.001)


@kernel
def rank_in_lists(
    x: Any,
    order: Any,
    starts: Any,
    lists: Any,
    centroids: Any,
    half: Any,
    first: int,
    last: int,
    ids: Any,
    scores: Any,
) -> None:
    """For the rows of groups first..last, find the three nearest centroids of their group's list.

    order, starts: rows by group (`kernels.group_rows`). lists: (groups, q) int32 centroids, padded by -1 at the end.
    Writes ids (n, 3) int32 and scores (n, 3) float32, |c|^2 / 2 - x.c, nearest first; -1 and infinity where none.
    """
    tile = np.empty((4, 4), np.float32)
    for g in range(first, last):
        low, high = starts[g], starts[g + 1]
        if low == high:
            continue
        q = 0
        while q < lists.shape[1] and lists[g, q] >= 0:
            q += 1
        for at in range(low, high, 4):
            m = min(4, high - at)
            r0 = order[at]
            r1, r2, r3 = order[min(at + 1, high - 1)], order[min(at + 2, high - 1)], order[min(at + 3, high - 1)]
            for a in range(m):
                r = order[at + a]
                for t in range(3):
                    scores[r, t] = np.inf
                    ids[r, t] = -1
            for j in range(0, q, 4):
                w = min(4, q - j)
                c0 = lists[g, j]
                c1, c2, c3 = lists[g, min(j + 1, q - 1)], lists[g, min(j + 2, q - 1)], lists[g, min(j + 3, q - 1)]
                dots(x[r0], x[r1], x[r2], x[r3], centroids[c0], centroids[c1], centroids[c2], centroids[c3], tile)
                for a in range(m):
                    r = order[at + a]
                    for b in range(w):
                        c = lists[g, j + b]
                        score = half[c] - tile[a, b]
                        if score > scores[r, 2]:
                            continue
                        if score < scores[r, 0] or (score == scores[r, 0] and c < ids[r, 0]):
                            scores[r, 2], ids[r, 2] = scores[r, 1], ids[r, 1]
                            scores[r, 1], ids[r, 1] = scores[r, 0], ids[r, 0]
                            scores[r, 0], ids[r, 0] = score, c
                        elif score < scores[r, 1]:
                            scores[r, 2], ids[r, 2] = scores[r, 1], ids[r, 1]
                            scores[r, 1], ids[r, 1] = score, c
                        elif score < scores[r, 2]:
                            scores[r, 2], ids[r, 2] = score, c


@kernel
def nearest_probed(
    x: Any,
    first: int,
    last: int,
    norms: Any,
    probes: Any,
    gaps: Any,
    radii: Any,
    member: Any,
    begin: Any,
    centroids: Any,
    half: Any,
    labels: Any,
    best: Any,
) -> None:
    """For rows first..last, improve labels (n,) and best (n,) with the centroids of the groups each row probes.

    probes, gaps: (n, p) int32 groups and float32 distances to their centres. radii: (G,) float32, how far centroids lie
    from their group's centre: a group all of whose centroids are farther than the best so far is left out. member,
    begin: centroids by group. best: float32 scores to beat; ties go to the lowest index.
    """
    groups = begin.shape[0] - 1
    p = probes.shape[1]
    count = np.zeros(groups + 1, np.int64)
    wanted = np.empty((last - first, p), np.bool_)
    for i in range(first, last):
        reach = np.sqrt(max(norms[i] + np.float32(2) * best[i], np.float32(0))) * SLACK
        for t in range(p):
            g = probes[i, t]
            wanted[i - first, t] = gaps[i, t] <= reach + radii[g]
            count[g + 1] += wanted[i - first, t]
    for g in range(groups):
        count[g + 1] += count[g]
    cursor = count.copy()
    rows = np.empty(count[groups], np.int64)
    for i in range(first, last):
        for t in range(p):
            if wanted[i - first, t]:
                g = probes[i, t]
                rows[cursor[g]] = i
                cursor[g] += 1
    tile = np.empty((4, 4), np.float32)
    for g in range(groups):
        low, high = count[g], count[g + 1]
        stop = begin[g + 1]
        for at in range(low, high, 4):
            m = min(4, high - at)
            r0 = rows[at]
            r1, r2, r3 = rows[min(at + 1, high - 1)], rows[min(at + 2, high - 1)], rows[min(at + 3, high - 1)]
            for j in range(begin[g], stop, 4):
                w = min(4, stop - j)
                c0 = member[j]
                c1, c2, c3 = member[min(j + 1, stop - 1)], member[min(j + 2, stop - 1)], member[min(j + 3, stop - 1)]
                dots(x[r0], x[r1], x[r2], x[r3], centroids[c0], centroids[c1], centroids[c2], centroids[c3], tile)
                for a in range(m):
                    r = rows[at + a]
                    least = best[r]
                    for b in range(w):
                        c = member[j + b]
                        score = half[c] - tile[a, b]
                        if score < least or (score == least and c < labels[r]):
                            least = score
                            best[r] = score
                            labels[r] = c


@kernel
def nearest_many(x: Any, first: int, last: int, centres: Any, half: Any, out: Any, scores: Any) -> None:
    """For rows first..last, write the q nearest of all (G, d) centres to out (n, q) int32, nearest first; q <= G.

    scores: (n, q) float32 out, |c|^2 / 2 - x.c.
    """
    size, q = centres.shape[0], out.shape[1]
    tile = np.empty((4, 4), np.float32)
    width = (size + LANES - 1) // LANES * LANES + LANES
    score = np.full((4, width), np.inf, np.float32)
    least = np.empty(LANES, np.float32)
    near = np.empty(q, np.float32)
    for i in range(first, last, 4):
        i1, i2, i3 = min(i + 1, last - 1), min(i + 2, last - 1), min(i + 3, last - 1)
        for j in range(0, size, 4):
            j1, j2, j3 = min(j + 1, size - 1), min(j + 2, size - 1), min(j + 3, size - 1)
            dots(x[i], x[i1], x[i2], x[i3], centres[j], centres[j1], centres[j2], centres[j3], tile)
            for a in range(4):
                score[a, j] = half[j] - tile[a, 0]
                if j + 1 < size:
                    score[a, j + 1] = half[j1] - tile[a, 1]
                if j + 2 < size:
                    score[a, j + 2] = half[j2] - tile[a, 2]
                if j + 3 < size:
                    score[a, j + 3] = half[j3] - tile[a, 3]
        for a in range(min(4, last - i)):
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
                    out[i + a, t] = out[i + a, t - 1]
                    t -= 1
                near[t] = s
                out[i + a, t] = j
                if filled < q:
                    filled += 1
            scores[i + a, :] = near


@kernel
def list_neighbours(
    centroids: Any, half: Any, probes: Any, member: Any, begin: Any, first: int, last: int, out: Any
) -> None:
    """For centroids first..last, write the q nearest found in the groups each probes to out (k, q) int32, padded by -1.

    The centroid itself comes first, the others by distance.
    """
    q = out.shape[1]
    tile = np.empty((4, 4), np.float32)
    near = np.empty(q, np.float32)
    for c in range(first, last):
        row = centroids[c]
        out[c, 0] = c
        near[0] = -np.inf
        filled = 1
        for p in range(probes.shape[1]):
            g = probes[c, p]
            stop = begin[g + 1]
            for j in range(begin[g], stop, 4):
                w = min(4, stop - j)
                c0 = member[j]
                c1, c2, c3 = member[min(j + 1, stop - 1)], member[min(j + 2, stop - 1)], member[min(j + 3, stop - 1)]
                dots(row, row, row, row, centroids[c0], centroids[c1], centroids[c2], centroids[c3], tile)
                for b in range(w):
                    other = member[j + b]
                    score = half[other] - tile[0, b]
                    if other == c or (filled == q and score >= near[q - 1]):
                        continue
                    t = filled if filled < q else q - 1
                    while t > 1 and near[t - 1] > score:
                        near[t] = near[t - 1]
                        out[c, t] = out[c, t - 1]
                        t -= 1
                    near[t] = score
                    out[c, t] = other
                    if filled < q:
                        filled += 1
        for t in range(filled, q):
            out[c, t] = -1


@kernel
def seed_groups(
    x: Any,
    weights: Any,
    order: Any,
    starts: Any,
    place: Any,
    draws: Any,
    first: int,
    last: int,
    seeds: Any,
    squared: Any,
) -> None:
    """k-means++ inside each of the groups first..last on its own.

    place: (groups + 1,) where the seeds of a group begin. draws: (k,) float64 in [0, 1). Writes row indices to seeds
    (k,) int64, -1 where a group has no distinct row left. squared: (n,) float32 scratch.
    """
    d = x.shape[1]
    for g in range(first, last):
        low, high = starts[g], starts[g + 1]
        for s in range(place[g], place[g + 1]):
            seeds[s] = -1
        for at in range(low, high):
            squared[order[at]] = np.inf
        for s in range(place[g], place[g + 1]):
            fresh = s == place[g]
            mass = 0.0
            for at in range(low, high):
                i = order[at]
                weight = np.float64(weights[i]) if weights.shape[0] else 1.0
                mass += weight if fresh else weight * squared[i]
            if not mass > 0.0:
                break
            aim = draws[s] * mass
            pick = np.int64(-1)
            mass = 0.0
            for at in range(low, high):
                i = order[at]
                weight = np.float64(weights[i]) if weights.shape[0] else 1.0
                part = weight if fresh else weight * squared[i]
                if part > 0.0:
                    pick = i
                    mass += part
                    if mass > aim:
                        break
            seeds[s] = pick
            seed = x[pick]
            for at in range(low, high):
                i = order[at]
                row = x[i]
                total = np.float32(0)
                for j in range(d):
                    gap = row[j] - seed[j]
                    total += gap * gap
                if total < squared[i]:
                    squared[i] = total


@kernel
def file_bounded(probes: Any, groups: int, most: int, filed: Any) -> None:
    """Write to filed (k,) int32 the first group that each centroid probes with room for it, `most` per group.

    A centroid that finds no room goes to the group with the fewest.
    """
    load = np.zeros(groups, np.int64)
    filed[:] = -1
    for t in range(probes.shape[1]):
        for c in range(probes.shape[0]):
            g = probes[c, t]
            if filed[c] < 0 and load[g] < most:
                filed[c] = g
                load[g] += 1
    for c in range(probes.shape[0]):
        if filed[c] < 0:
            g = np.argmin(load)
            filed[c] = g
            load[g] += 1


@kernel
def permute_rows(x: Any, order: Any) -> None:
    """Put row order[i] of x (n, d) at place i, in place."""
    n, d = x.shape
    done = np.zeros(n, np.bool_)
    kept = np.empty(d, x.dtype)
    for start in range(n):
        if done[start] or order[start] == start:
            continue
        kept[:] = x[start]
        i = start
        while order[i] != start:
            x[i] = x[order[i]]
            done[i] = True
            i = order[i]
        x[i] = kept
        done[i] = True
