"""The centroids nearest to each: the lists that rows are compared with, kept up as centroids move."""

import numpy as np

from evenkeel.infra.dtypes import BoolArray, Float32Array, Int32Array, Int64Array
from evenkeel.tasks.kmeans.coarse import NPROBE, nearest_lists
from evenkeel.tasks.kmeans.inverted import fill_lists
from evenkeel.tasks.kmeans.kernels import Codebook, InvertedLists, dots, kernel
from evenkeel.tasks.kmeans.lloyd import codebook
from evenkeel.tasks.kmeans.parallel import parallel_for

NEIGHBOURS = 32
SPARE = 8
LISTS_PER_PART = 256


class Neighbours:
    """Lists of the 32 centroids nearest to each, (k, 40) int32, itself first; k where a list has ended.

    coarse: (nlist, d) float32, the coarse centroids through which they are found.
    """

    def __init__(self, centroids: Float32Array, coarse: Float32Array, threads: int) -> None:
        k = len(centroids)
        self.coarse, self.threads = coarse, threads
        self.lists: Int32Array = np.full((k, min(NEIGHBOURS, k) + SPARE), k, np.int32)
        self.probes: Int32Array = np.empty((k, 0), np.int32)
        self.rebuild(centroids, None)

    def rebuild(self, centroids: Float32Array, sizes: Int64Array | None) -> BoolArray:
        """Find all lists anew; return which have changed, (k,). sizes: rows of every cluster, None where not known."""
        book = codebook(centroids)
        self.probes, _ = nearest_lists(centroids, self.coarse, self.threads)
        inverted = fill_lists(self.probes, len(self.coarse), -book.half_norms if sizes is None else sizes)
        lists = self._find(book, inverted, inverted.members)
        changed = (lists != self.lists).any(axis=1)
        self.lists = lists
        return np.asarray(changed)

    def add_moved(self, centroids: Float32Array, moved: Int64Array, sizes: Int64Array) -> BoolArray:
        """Find the lists of centroids that were put elsewhere, and add these to the lists that have room there.

        Return which lists have changed, (k,).
        """
        k = len(centroids)
        self.probes[moved] = nearest_lists(centroids[moved], self.coarse, self.threads)[0]
        lists = self._find(codebook(centroids), fill_lists(self.probes, len(self.coarse), sizes), moved)
        changed = np.zeros(k, np.bool_)
        changed[moved] = True
        self.lists[moved] = lists[moved]
        add_to_lists(self.lists, moved, changed)
        return changed

    def _find(self, book: Codebook, inverted: InvertedLists, which: Int64Array) -> Int32Array:
        k = len(book.centroids)
        lists = np.full_like(self.lists, k)
        overflow = np.full((k, 1), len(self.coarse), np.int32)
        probes, found = np.concatenate([self.probes[:, : NPROBE // 2], overflow], axis=1), lists[:, :-SPARE]
        parallel_for(
            lambda first, last: list_neighbours(book, probes, inverted, which, first, last, found),
            len(which),
            self.threads,
            part=LISTS_PER_PART,
        )
        return lists


@kernel
def add_to_lists(lists: Int32Array, moved: Int64Array, changed: BoolArray) -> None:
    """Add each of `moved` to the lists of its own neighbours where a place is free; marks these in changed (k,)."""
    k, q = lists.shape
    for g in moved:
        for t in range(1, q):
            c = lists[g, t]
            if c == k:
                break
            for place in range(q):
                if lists[c, place] == g:
                    break
                if lists[c, place] == k:
                    lists[c, place] = g
                    changed[c] = True
                    break


@kernel
def list_neighbours(
    codebook: Codebook,
    probes: Int32Array,
    lists: InvertedLists,
    which: Int64Array,
    first: int,
    last: int,
    out: Int32Array,
) -> None:
    """Write the q nearest centroids of centroids which[first..last] to out (k, q), found in the lists each probes.

    probes: (k, p). The centroid itself comes first, the others by number; k where fewer were found.
    """
    centroids, half = codebook
    member, begin = lists
    q, p = out.shape[1], probes.shape[1]
    groups = begin.shape[0] - 1
    size = last - first
    place = np.zeros(size + 1, np.int64)
    count = np.zeros(groups + 1, np.int64)
    for i in range(size):
        room = 0
        for t in range(p):
            g = probes[which[first + i], t]
            room += begin[g + 1] - begin[g]
            count[g + 1] += 1
        place[i + 1] = place[i] + room
    for g in range(groups):
        count[g + 1] += count[g]
    cursor, filled = count.copy(), place.copy()
    rows = np.empty(count[groups], np.int64)
    for i in range(size):
        for t in range(p):
            g = probes[which[first + i], t]
            rows[cursor[g]] = i
            cursor[g] += 1
    met, score = np.empty(place[size], np.int32), np.empty(place[size], np.float32)
    tile = np.empty((3, 4), np.float32)
    for g in range(groups):
        low, high, stop = count[g], count[g + 1], begin[g + 1]
        for at in range(low, high, 4):
            i1, i2, i3 = min(at + 1, high - 1), min(at + 2, high - 1), min(at + 3, high - 1)
            r0, r1 = which[first + rows[at]], which[first + rows[i1]]
            r2, r3 = which[first + rows[i2]], which[first + rows[i3]]
            for j in range(begin[g], stop, 3):
                c0, c1, c2 = member[j], member[min(j + 1, stop - 1)], member[min(j + 2, stop - 1)]
                dots(
                    centroids[r0],
                    centroids[r1],
                    centroids[r2],
                    centroids[r3],
                    centroids[c0],
                    centroids[c1],
                    centroids[c2],
                    tile,
                )
                for b in range(min(3, stop - j)):
                    c = member[j + b]
                    for a in range(min(4, high - at)):
                        i = rows[at + a]
                        if c != which[first + i]:
                            met[filled[i]] = c
                            score[filled[i]] = half[c] - tile[b, a]
                            filled[i] += 1
    for i in range(size):
        c, low, high = which[first + i], place[i], filled[i]
        out[c, 0] = c
        out[c, 1:] = centroids.shape[0]
        if high - low < q:
            for t in range(high - low):
                out[c, t + 1] = met[low + t]
            out[c, 1:].sort()
            continue
        bound = np.partition(score[low:high], q - 2)[q - 2]
        t = 1
        for at in range(low, high):
            if score[at] < bound:
                out[c, t] = met[at]
                t += 1
        for at in range(low, high):
            if t < q and score[at] == bound:
                out[c, t] = met[at]
                t += 1
        out[c, 1:].sort()
