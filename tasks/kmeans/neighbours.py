"""The centroids nearest to each: the lists that rows are compared with, kept up as centroids move."""

from typing import Any

import numpy as np
import numpy.typing as npt

from evenkeel.tasks.kmeans.groups import PROBES, Groups, Ints, file_bounded, file_centroids, nearest_groups
from evenkeel.tasks.kmeans.kernels import kernel
from evenkeel.tasks.kmeans.lloyd import Members, half_norms
from evenkeel.tasks.kmeans.prepare import Floats
from evenkeel.tasks.kmeans.threads import spread
from evenkeel.tasks.kmeans.tile import dots

NEIGHBOURS = 32
SPARE = 8
PART = 256
Mask = npt.NDArray[np.bool_]


class Neighbours:
    """Lists of the 32 centroids nearest to each, (k, 40) int32, itself first; k where a list has ended."""

    def __init__(self, centroids: Floats, groups: Groups, threads: int) -> None:
        k = len(centroids)
        self.groups, self.threads = groups, threads
        self.lists: Ints = np.full((k, min(NEIGHBOURS, k) + SPARE), k, np.int32)
        self.near: Ints = np.empty((k, 0), np.int32)
        self.renew(centroids, None)

    def renew(self, centroids: Floats, sizes: npt.NDArray[np.int64] | None) -> Mask:
        """Find all lists anew, through the groups; return which have changed, (k,)."""
        self.near, filing = file_centroids(centroids, self.groups, sizes, self.threads)
        lists = self._find(centroids, filing, filing[0])
        changed = (lists != self.lists).any(axis=1)
        self.lists = lists
        return np.asarray(changed)

    def patch(self, centroids: Floats, moved: npt.NDArray[np.int64], sizes: npt.NDArray[np.int64]) -> Mask:
        """List the neighbours of centroids that were put elsewhere, and enter them there where there is room.

        Return which lists have changed, (k,).
        """
        k = len(centroids)
        self.near[moved] = nearest_groups(centroids[moved], self.groups.centres, PROBES, self.threads)[0]
        lists = self._find(centroids, file_bounded(self.near, len(self.groups.centres), sizes), moved)
        changed = np.zeros(k, np.bool_)
        changed[moved] = True
        self.lists[moved] = lists[moved]
        enter(self.lists, moved, changed)
        return changed

    def _find(self, centroids: Floats, filing: Members, which: npt.NDArray[np.int64]) -> Ints:
        half, lists = half_norms(centroids), np.full_like(self.lists, len(centroids))
        everyone = np.full((len(centroids), 1), len(self.groups.centres), np.int32)
        probes, found = np.concatenate([self.near[:, : PROBES // 2], everyone], axis=1), lists[:, :-SPARE]
        spread(
            lambda first, last: list_neighbours(centroids, half, probes, *filing, which, first, last, found),
            len(which),
            self.threads,
            part=PART,
        )
        return lists


@kernel
def enter(lists: Any, moved: Any, changed: Any) -> None:
    """Put each of `moved` into the free places of the lists of those that it lists; note them in changed (k,)."""
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
    centroids: Any,
    half: Any,
    probes: Any,
    member: Any,
    begin: Any,
    which: Any,
    first: int,
    last: int,
    out: Any,
) -> None:
    """For centroids which[first..last], write the q nearest found in the groups each probes to out (k, q) int32.

    The centroid itself comes first, the others by number; k where fewer were found.
    """
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
                dots(centroids, r0, r1, r2, r3, centroids, c0, c1, c2, tile)
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
