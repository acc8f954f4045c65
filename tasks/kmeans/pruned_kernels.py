"""Compiled loops over short candidate lists: what makes an iteration cost n x 32 products in place of n x k."""

from typing import NamedTuple

import numpy as np

from evenkeel.infra.dtypes import Float32Array, Int32Array, Int64Array
from evenkeel.tasks.kmeans.kernels import CENTROID_TILE, Codebook, InvertedLists, dots, kernel

LANES = 16
SCORED_ROWS = 32
ROWS_AT_A_TIME = 64
CENTROIDS_IN_CACHE = 12
SLACK = np.float32(1.001)


class Ranking(NamedTuple):
    """The three nearest centroids of every row, (n, 3) int32, nearest first, and their scores, (n, 3) float32.

    A score is |c|^2 / 2 - x.c. -1 and infinity where there is none.
    """

    ids: Int32Array
    scores: Float32Array


class Nearest(NamedTuple):
    """The nearest centroid of every row so far, (n,) int32, and its score, (n,) float32."""

    labels: Int32Array
    scores: Float32Array


class Probes(NamedTuple):
    """The lists nearest to every row, (n, p) int32, the distances to their coarse centroids, and which to search.

    searched: how many have been searched already, and with them, unless it is 0, the overflow list.
    """

    lists: Int32Array
    distances: Float32Array
    searched: int
    nprobe: int


class InvertedFile(NamedTuple):
    """Centroids filed in lists, the last of them the overflow list; radii: (nlist,) float32 of the others."""

    codebook: Codebook
    lists: InvertedLists
    radii: Float32Array


@kernel
def rank_in_lists(
    x: Float32Array,
    clusters: InvertedLists,
    which: Int64Array,
    first: int,
    last: int,
    neighbours: Int32Array,
    codebook: Codebook,
    ranking: Ranking,
) -> None:
    """Rank, for the rows of clusters which[first..last], the centroids that neighbour their cluster's.

    neighbours: (k, q) int32 centroids, k where a list has ended. Of equal centroids the lowest index is the nearest.
    """
    order, starts = clusters
    centroids, half = codebook
    ids, scores = ranking
    tile, width = np.empty((3, 4), np.float32), neighbours.shape[1]
    score = np.empty((width + 1) * ROWS_AT_A_TIME, np.float32)
    near, who = np.empty(3 * ROWS_AT_A_TIME, np.float32), np.empty(3 * ROWS_AT_A_TIME, np.int32)
    for at in range(first, last):
        g = which[at]
        q = 0
        while q < width and neighbours[g, q] < centroids.shape[0]:
            q += 1
        for low in range(starts[g], starts[g + 1], ROWS_AT_A_TIME):
            high = min(low + ROWS_AT_A_TIME, starts[g + 1])
            for start in range(0, q, CENTROIDS_IN_CACHE):
                stop = min(start + CENTROIDS_IN_CACHE, q)
                for i in range(low, high, 4):
                    r0 = order[i]
                    r1, r2, r3 = order[min(i + 1, high - 1)], order[min(i + 2, high - 1)], order[min(i + 3, high - 1)]
                    for j in range(start, stop, 3):
                        c0, c1 = neighbours[g, j], neighbours[g, min(j + 1, stop - 1)]
                        c2 = neighbours[g, min(j + 2, stop - 1)]
                        dots(x[r0], x[r1], x[r2], x[r3], centroids[c0], centroids[c1], centroids[c2], tile)
                        for b in range(min(3, stop - j)):
                            h, place = half[neighbours[g, j + b]], (j + b) * ROWS_AT_A_TIME + i - low
                            for a in range(4):
                                score[place + a] = h - tile[b, a]
            three_least(score, q, high - low, near, who)
            for r in range(high - low):
                row = order[low + r]
                for t in range(3):
                    at_t = t * ROWS_AT_A_TIME + r
                    scores[row, t] = near[at_t]
                    ids[row, t] = neighbours[g, who[at_t]] if who[at_t] >= 0 else -1
                if scores[row, 0] == scores[row, 1] or scores[row, 1] == scores[row, 2]:
                    settle_ties(score, q, r, neighbours[g], ids[row], scores[row])


@kernel
def three_least(score: Float32Array, q: int, rows: int, near: Float32Array, who: Int32Array) -> None:
    """Write the three least of q scores of each of some rows to near, and where they are to who; -1 where fewer are.

    score, near, who: 64 rows beside each other, then the next score of the same, so that eight are compared at a time.
    Of equal scores the last is named.
    """
    near[:] = np.inf
    who[:] = -1
    for t in range(q):
        for r in range(rows):
            s = score[t * ROWS_AT_A_TIME + r]
            least, second = near[r], near[ROWS_AT_A_TIME + r]
            beaten = max(least, s)
            near[r] = min(least, s)
            near[2 * ROWS_AT_A_TIME + r] = min(near[2 * ROWS_AT_A_TIME + r], max(second, beaten))
            near[ROWS_AT_A_TIME + r] = min(second, beaten)
    for t in range(q):
        for r in range(rows):
            s = score[t * ROWS_AT_A_TIME + r]
            who[r] = t if s == near[r] else who[r]
            who[ROWS_AT_A_TIME + r] = t if s == near[ROWS_AT_A_TIME + r] else who[ROWS_AT_A_TIME + r]
            who[2 * ROWS_AT_A_TIME + r] = t if s == near[2 * ROWS_AT_A_TIME + r] else who[2 * ROWS_AT_A_TIME + r]


@kernel
def settle_ties(
    score: Float32Array, q: int, r: int, candidates: Int32Array, ids: Int32Array, scores: Float32Array
) -> None:
    """Write the three nearest of q candidates of row r to ids (3,) and scores (3,); of equal ones the lowest first."""
    ids[:], scores[:] = -1, np.inf
    for t in range(q):
        s, c = score[t * ROWS_AT_A_TIME + r], candidates[t]
        place = 3
        while place > 0 and (s < scores[place - 1] or (s == scores[place - 1] and c < ids[place - 1])):
            place -= 1
        for later in range(2, place, -1):
            scores[later], ids[later] = scores[later - 1], ids[later - 1]
        if place < 3:
            scores[place], ids[place] = s, c


@kernel
def nearest_probed(
    x: Float32Array,
    norms: Float32Array,
    first: int,
    last: int,
    probes: Probes,
    index: InvertedFile,
    nearest: Nearest,
) -> None:
    """Search, for rows first..last, the lists that each probes and has not searched; improves `nearest`.

    norms: (n,) float32, |x|^2. A list all of whose centroids are farther than the best so far is left out. Ties go to
    the lowest index.
    """
    lists, distances, searched, depth = probes
    centroids, half = index.codebook
    member, begin = index.lists
    radii = index.radii
    labels, best = nearest
    groups = begin.shape[0] - 1
    count = np.zeros(groups + 1, np.int64)
    wanted = np.empty((last - first, depth + 1), np.bool_)
    for i in range(first, last):
        farthest = np.sqrt(max(norms[i] + np.float32(2) * best[i], np.float32(0))) * SLACK
        wanted[i - first, :] = False
        for t in range(searched, depth):
            g = lists[i, t]
            wanted[i - first, t] = distances[i, t] <= farthest + radii[g]
            count[g + 1] += wanted[i - first, t]
        wanted[i - first, depth] = not searched
        count[groups] += not searched
    for g in range(groups):
        count[g + 1] += count[g]
    cursor = count.copy()
    rows = np.empty(count[groups], np.int64)
    for i in range(first, last):
        for t in range(depth + 1):
            if wanted[i - first, t]:
                g = lists[i, t] if t < depth else groups - 1
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
                dots(x[r0], x[r1], x[r2], x[r3], centroids[c0], centroids[c1], centroids[c2], tile)
                for b in range(min(3, stop - j)):
                    c = member[j + b]
                    for a in range(m):
                        r = rows[at + a]
                        score = half[c] - tile[b, a]
                        if score < best[r] or (score == best[r] and c < labels[r]):
                            best[r] = score
                            labels[r] = c


@kernel
def nearest_many(
    x: Float32Array, first: int, last: int, codebook: Codebook, out: Int32Array, scores: Float32Array
) -> None:
    """Write the q nearest of all k centroids of rows first..last to out (n, q), nearest first; q <= k.

    scores: (n, q) out, |c|^2 / 2 - x.c.
    """
    centroids, half = codebook
    size, q = centroids.shape[0], out.shape[1]
    tile = np.empty((3, 4), np.float32)
    width = (size + LANES - 1) // LANES * LANES + LANES
    score = np.full((SCORED_ROWS, width), np.inf, np.float32)
    least = np.empty(LANES, np.float32)
    near = np.empty(q, np.float32)
    for start in range(first, last, SCORED_ROWS):
        stop = min(start + SCORED_ROWS, last)
        for low in range(0, size, CENTROID_TILE):
            high = min(low + CENTROID_TILE, size)
            for i in range(start, stop, 4):
                i1, i2, i3 = min(i + 1, stop - 1), min(i + 2, stop - 1), min(i + 3, stop - 1)
                for j in range(low, high, 3):
                    dots(
                        x[i],
                        x[i1],
                        x[i2],
                        x[i3],
                        centroids[j],
                        centroids[min(j + 1, high - 1)],
                        centroids[min(j + 2, high - 1)],
                        tile,
                    )
                    for b in range(min(3, high - j)):
                        for a in range(min(4, stop - i)):
                            score[i + a - start, j + b] = half[j + b] - tile[b, a]
        for i in range(start, stop):
            a = i - start
            worst = np.float32(np.inf)
            if q <= LANES <= size:
                # Each lane's least score is a different centroid, so the q nearest lie at or below the largest of them.
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
def file_bounded(
    near: Int32Array, nlist: int, capacity: int, order: Int64Array, overflow: int, filed: Int32Array
) -> int:
    """Write to filed (k,) the nearest list of every centroid that has room for it; returns how many found none.

    near: (k, p) lists near each. capacity: of a list. Centroids that find no room go, in the given order (k,), to list
    number `nlist`, which takes `overflow` of them and which every row searches; then to the list with the fewest.
    """
    load = np.zeros(nlist, np.int64)
    filed[:] = -1
    for t in range(near.shape[1]):
        for c in range(near.shape[0]):
            g = near[c, t]
            if filed[c] < 0 and load[g] < capacity:
                filed[c] = g
                load[g] += 1
    misfiled = 0
    for c in order:
        if filed[c] < 0 and overflow > 0:
            filed[c] = nlist
            overflow -= 1
        elif filed[c] < 0:
            g = np.argmin(load)
            filed[c] = g
            load[g] += 1
            misfiled += 1
    return misfiled
