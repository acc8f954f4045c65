"""Ranking many centroids by groups: rows that lie together are compared with the centroids near them, not with all.

Rows are grouped once by coarse centroids, about sqrt(16 k) of them. The rows of a group share the centroids nearest to
its coarse one, so that each group is one dense product: n x k shrinks to n x the candidates of a group.
"""

from dataclasses import dataclass

import numpy as np

from evenkeel.infra.dtypes import Float32Array, Int32Array, Int64Array
from evenkeel.tasks.kmeans.coarse import ITERATIONS, NPROBE, ROWS_PER_LIST
from evenkeel.tasks.kmeans.device.arrays import NEAREST, Arrays
from evenkeel.tasks.kmeans.device.batches import batch_size, in_batches
from evenkeel.tasks.kmeans.device.ranking import Ranked, Ranker, bytes_of, centroids_of, rank_block
from evenkeel.tasks.kmeans.device.rows import DeviceRows
from evenkeel.tasks.kmeans.device.totals import segments_of
from evenkeel.tasks.kmeans.options import Products

GROUPED_ABOVE = 20_000
LISTS = 32
LEAST_CANDIDATES = 512
GROUPS_AT_A_TIME = 64


@dataclass(frozen=True)
class Groups:
    """Coarse centroids, (g, d), and the nearest of them to every row, (n,) int32, on the device."""

    coarse: Float32Array
    labels: Int32Array

    def take(self, index: Int64Array) -> "Groups":
        """Return the groups of the rows at `index`."""
        return Groups(self.coarse, self.labels[index])


def fit_groups(rows: DeviceRows, k: int, rng: np.random.Generator, ranker: Ranker) -> Groups:
    """Fit the coarse centroids for k centroids on a sample, and find the nearest of them to every row."""
    arrays, n = rows.arrays, len(rows)
    size = int(min(max(2, np.sqrt(NPROBE * k)), n))
    chosen = np.sort(rng.choice(n, size=min(n, ROWS_PER_LIST * size), replace=False))
    sample = rows.take(arrays.put(chosen))
    coarse = sample.gather(arrays.put(np.sort(rng.choice(len(chosen), size=size, replace=False))))
    for _ in range(ITERATIONS):
        sample.move_to_means(coarse, ranker.rank(sample, coarse).ids[:, 0].copy())
    return Groups(coarse, ranker.rank(rows, coarse).ids[:, 0].copy())


class GroupedRanker:
    """Compares the rows of every group with the centroids nearest to its coarse one."""

    def __init__(self, arrays: Arrays, products: Products, groups: Groups) -> None:
        self.arrays, self.products, self.groups = arrays, products, groups

    def rank(self, rows: DeviceRows, points: Float32Array, before: Int32Array | None = None) -> Ranked:
        """Return three near ones of (k, d) points for every row: of its group's candidates, and of its last label.

        before: (n,) last labels, each kept where nothing nearer is found.
        """
        xp, n = self.arrays.xp, len(rows)
        out = Ranked(xp.empty((n, NEAREST), np.int32), xp.empty((n, NEAREST), np.float32))
        among = candidates_of(self.arrays, self.groups.coarse, points)
        for first, last, x in rows.blocks():
            here = segments_of(self.arrays, self.groups.labels[first:last], len(among))
            starts = self.arrays.get(here.starts)
            for group in np.flatnonzero(np.diff(starts)).tolist():
                index = here.order[int(starts[group]) : int(starts[group + 1])]
                self._rank_group(x[index], rows.norms[first + index], points, among[group], out, first + index)
        if before is not None:
            keep_nearer(self.arrays, out, before, rows.squared(points, before))
        return out

    def _rank_group(
        self,
        x: Float32Array,
        norms: Float32Array,
        points: Float32Array,
        among: Int32Array,
        out: Ranked,
        index: Int64Array,
    ) -> None:
        """Rank the rows of a group, x (m, d), and put what is found at `index`."""
        xp, centroids = self.arrays.xp, centroids_of(self.arrays, points[among])
        found = Ranked(xp.empty((len(x), NEAREST), np.int32), xp.empty((len(x), NEAREST), np.float32))

        def work(low: int, high: int) -> None:
            part = Ranked(found.ids[low:high], found.gaps[low:high])
            rank_block(self.arrays, x[low:high], norms[low:high], centroids, self.products, part)

        batch = batch_size(self.arrays, bytes_of(len(among), x.shape[1], self.products))
        in_batches(self.arrays, len(x), batch, work, "to compare the rows of a group with its candidates")
        out.ids[index] = xp.where(found.ids >= 0, among[xp.maximum(found.ids, 0)], -1)
        out.gaps[index] = found.gaps


def candidates_of(arrays: Arrays, coarse: Float32Array, points: Float32Array) -> Int32Array:
    """Return the points that each group's rows are compared with, (g, m) int32, ascending: the nearest to its coarse.

    m is what 32 lists would hold on average, 512 at least. Groups are worked on 64 at a time, whatever memory there is.
    """
    xp, k = arrays.xp, len(points)
    m = min(k, max(LEAST_CANDIDATES, -(-LISTS * k // len(coarse))))
    found: Int32Array = xp.empty((len(coarse), m), np.int32)
    half, across = (points * points).sum(axis=1) * np.float32(0.5), points.T
    for first in range(0, len(coarse), GROUPS_AT_A_TIME):
        part = coarse[first : first + GROUPS_AT_A_TIME]
        table = xp.empty((len(part), k), np.float32)
        arrays.matmul(part, across, table, False)
        nearest = xp.argsort(half - table, axis=1)[:, :m]
        found[first : first + len(part)] = xp.sort(nearest, axis=1)
    return found


def keep_nearer(arrays: Arrays, ranked: Ranked, before: Int32Array, gaps: Float32Array) -> None:
    """Put the last label of every row, (n,), into its ranking, in place, where it is nearer than one of the three.

    gaps: (n,) squared distances to these labels.
    """
    xp = arrays.xp
    ids = [ranked.ids[:, at].copy() for at in range(NEAREST)]
    old = [ranked.gaps[:, at].copy() for at in range(NEAREST)]
    new = (ids[0] != before) & (ids[1] != before) & (ids[2] != before) & (before >= 0)
    at = [new & (gaps < one) for one in old]
    for place in reversed(range(NEAREST)):
        from_above = at[place - 1] if place else xp.zeros(len(before), xp.bool_)
        above = (ids[place - 1], old[place - 1]) if place else (before, gaps)
        ranked.ids[:, place] = xp.where(at[place], xp.where(from_above, above[0], before), ids[place])
        ranked.gaps[:, place] = xp.where(at[place], xp.where(from_above, above[1], gaps), old[place])
