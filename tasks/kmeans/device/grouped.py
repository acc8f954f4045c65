"""Ranking many centroids by groups: rows that lie together are compared with the centroids near them, not with all.

Rows are grouped once by coarse centroids, about sqrt(16 k) of them. The rows of a group share the centroids nearest to
its coarse one, so that each group is one dense product: n x k shrinks to n x the candidates of a group. All else is
done for many groups at once.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from evenkeel.infra.dtypes import Float32Array, Int32Array, Int64Array
from evenkeel.tasks.kmeans.coarse import ITERATIONS, NPROBE, ROWS_PER_LIST
from evenkeel.tasks.kmeans.device.arrays import NEAREST, Arrays
from evenkeel.tasks.kmeans.device.batches import batch_size, in_batches
from evenkeel.tasks.kmeans.device.ranking import (
    MORE_EXACT,
    Centroids,
    Compared,
    Ranked,
    Ranker,
    bytes_of,
    empty_ranking,
    factor_of,
    multiply,
    settle_possible,
)
from evenkeel.tasks.kmeans.device.rows import DeviceRows, quartic_norms
from evenkeel.tasks.kmeans.device.totals import counts_of, segments_of
from evenkeel.tasks.kmeans.options import Products

GROUPED_ABOVE = 8_000
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


class Sampled(NamedTuple):
    """Which rows coarse centroids are fitted on, (m,) ascending, and which of these they begin at, (g,) ascending."""

    rows: Int64Array
    starts: Int64Array


def sample_for(n: int, k: int, rng: np.random.Generator) -> Sampled:
    """Draw the rows that the coarse centroids for k centroids are fitted on."""
    size = int(min(max(2, np.sqrt(NPROBE * k)), n))
    chosen = np.sort(rng.choice(n, size=min(n, ROWS_PER_LIST * size), replace=False))
    return Sampled(chosen, np.sort(rng.choice(len(chosen), size=size, replace=False)))


def fit_coarse(sample: DeviceRows, starts: Int64Array, ranker: Ranker) -> Float32Array:
    """Return coarse centroids, (g, d), fitted on a sample of the rows, from the rows of it that they begin at."""
    coarse = sample.gather(sample.arrays.put(starts))
    for _ in range(ITERATIONS):
        sample.move_to_means(coarse, ranker.rank(sample, coarse).ids[:, 0].copy())
    return coarse


def fit_groups(rows: DeviceRows, k: int, rng: np.random.Generator, ranker: Ranker) -> Groups:
    """Fit the coarse centroids for k centroids on a sample, and find the nearest of them to every row."""
    chosen, starts = sample_for(len(rows), k, rng)
    coarse = fit_coarse(rows.take(rows.arrays.put(chosen)), starts, ranker)
    return Groups(coarse, ranker.rank(rows, coarse).ids[:, 0].copy())


class GroupedRanker:
    """Compares the rows of every group with the centroids nearest to its coarse one, many groups at a time."""

    def __init__(self, arrays: Arrays, products: Products, groups: Groups) -> None:
        self.arrays, self.products, self.groups = arrays, products, groups

    def rank(self, rows: DeviceRows, points: Float32Array, before: Int32Array | None = None) -> Ranked:
        """Return three near ones of (k, d) points for every row: of its group's candidates, and of its last label.

        before: (n,) last labels, each kept where nothing nearer is found.
        """
        arrays, out = self.arrays, empty_ranking(self.arrays, len(rows))
        among = candidates_of(arrays, self.groups.coarse, points)
        size, m = among.shape
        # The rows of a batch, their table of products, and their share of the centroids of their groups, three times.
        bytes_each = bytes_of(m, rows.shape[1], self.products) + 12 * m * rows.shape[1] * size // len(rows)
        for first, last, x in rows.spans():
            order = segments_of(arrays, self.groups.labels[first:last], size).order

            def work(low: int, high: int, x: Float32Array = x, first: int = first, order: Int64Array = order) -> None:
                index = order[low:high]
                place = first + index
                compared = Compared(x[index], rows.norms[place], rows.quartic[place], self.groups.labels[place])
                out.ids[place], out.gaps[place] = self._rank(compared, points, among, self.products)

            batch = batch_size(arrays, bytes_each)
            in_batches(arrays, last - first, batch, work, "to compare the rows of groups with their candidates")
        if before is not None:
            keep_nearer(arrays, out, before, rows.squared(points, before))
        return out

    def _rank(self, rows: Compared, points: Float32Array, among: Int32Array, products: Products) -> Ranked:
        """Rank rows that lie in the order of their groups among the candidates of these."""
        arrays, xp = self.arrays, self.arrays.xp
        assert rows.which is not None
        counts = counts_of(arrays, rows.which, len(among))
        asked = np.flatnonzero(counts)
        groups = rows.which
        lists, rows, place = self._lists(points, among, asked, rows)
        assert rows.which is not None
        m, ends = among.shape[1], np.cumsum(counts[asked])
        table = xp.empty((len(rows.x), m), np.float32)
        these, those = factor_of(arrays, rows.x, products), factor_of(arrays, lists.points, products)
        for at, (low, high) in enumerate(zip([0, *ends[:-1]], ends, strict=True)):
            multiply(arrays, these.part(low, high), those.part(at * m, (at + 1) * m), table[low:high], products)
        del these, those
        found = empty_ranking(arrays, len(table))
        rest = settle_possible(arrays, table, rows, lists, products, found, points, place)
        del table
        if len(rest):
            left = rows.take(rest)
            if products == "float32":
                found.ids[rest], found.gaps[rest] = self._compare(left, points, place)
            else:
                again = self._rank(left._replace(which=groups[rest]), points, among, MORE_EXACT[products])
                found.ids[rest], found.gaps[rest] = again
        return found

    def _compare(self, rows: Compared, points: Float32Array, place: Int32Array) -> Ranked:
        """Compare rows with all candidates of their group, (g, m), without products."""
        arrays, which, found = self.arrays, rows.which, empty_ranking(self.arrays, len(rows.x))
        assert which is not None

        def work(low: int, high: int) -> None:
            among, ids, gaps = place[which[low:high]], found.ids[low:high], found.gaps[low:high]
            arrays.kernels.settle(rows.x[low:high], points, among, ids, gaps, None)

        batch = batch_size(arrays, 8 * place.shape[1])
        in_batches(arrays, len(rows.x), batch, work, "to compare rows with all candidates of their group")
        return found

    def _lists(
        self, points: Float32Array, among: Int32Array, asked: Int64Array, rows: Compared
    ) -> tuple[Centroids, Compared, Int32Array]:
        """Return the candidates of some groups as lists, rows that name these, and which points they are, (g, m)."""
        arrays, xp = self.arrays, self.arrays.xp
        assert rows.which is not None
        there = arrays.put(asked)
        new = xp.zeros(len(among), np.int32)
        new[there] = xp.arange(len(asked), dtype=np.int32)
        place = among[there]
        mine = points[place.reshape(-1)]
        squared = (mine * mine).sum(axis=1).reshape(place.shape)
        quartic = quartic_norms(arrays, mine).reshape(place.shape).max(axis=1)
        lists = Centroids(mine, squared * np.float32(0.5), xp.sqrt(squared.max(axis=1)), quartic)
        return lists, rows._replace(which=new[rows.which]), place


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
