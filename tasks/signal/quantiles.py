"""Where a number stands among those of its group: ranks and quantiles of a whole pool, in two passes over it.

The first pass takes the numbers of a share of the rows, chosen by the hash of their ids; these cut every group into
intervals. The second counts, exactly, the rows between the cuts and on each. So the sketch is a sum over blocks and the
same for any split into blocks. A group of no more rows than it has cuts is exact; for others the rank of a number is
off by at most the share of rows in its interval, and the largest such share is `error`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np

from evenkeel.infra import storage
from evenkeel.infra.arrays import map_array, write_array
from evenkeel.infra.compiled import compiled
from evenkeel.infra.dtypes import Float64Array, Int32Array, Int64Array
from evenkeel.infra.hashing import uniform
from evenkeel.tasks.signal.groups import count_groups, numbers_of, read_groups
from evenkeel.tasks.signal.source import SignalSource
from evenkeel.tasks.step import Run

MOST_CUTS, FEWEST_CUTS, ALL_CUTS = 1 << 16, 64, 1 << 20
SEED = 0x5EC7


class Counts(NamedTuple):
    """The numbers on and between the cuts, and the least and the greatest number of every group.

    counts: for a group of c cuts 2c + 1 numbers, below the first cut, on it, between it and the second, and so on.
    least, greatest: (groups,) float64, infinite for a group without numbers.
    """

    counts: Int64Array
    least: Float64Array
    greatest: Float64Array


@dataclass(frozen=True)
class Ranks:
    """The sketch of one column.

    cuts: (m,) float64, ascending in each group; those of group g are cuts[starts[g]:starts[g + 1]]. starts:
    (groups + 1,) int64. found: the counts between and on them.
    """

    cuts: Float64Array
    starts: Int64Array
    found: Counts

    @classmethod
    def fit(cls, source: SignalSource, column: str, groups: str, folder: str, run: Run) -> Self:
        """Read the column of the whole pool, twice, on the workers, and write its sketch to a folder.

        groups: the folder of the groups. The driver holds at most about a million cuts.
        """
        count = len(read_groups(groups).values)
        size = max(FEWEST_CUTS, min(MOST_CUTS, ALL_CUTS // max(count, 1)))
        work = source.pool.rows * 24
        parts = run.compute.map(partial(_sample_block, source, column, groups, size), source.blocks, work=work)
        for name, array in zip(("cuts", "starts"), cuts_of(parts, count), strict=True):
            write_array(storage.join(folder, f"{name}.npy"), array)
        counting = partial(_count_block, source, column, groups, folder)
        found = run.compute.reduce(counting, add_counts, source.blocks, work=work)
        found = found if found is not None else no_counts(np.zeros(count + 1, np.int64))
        for name, array in zip(Counts._fields, found, strict=True):
            write_array(storage.join(folder, f"{name}.npy"), array)
        return cls(*_read_cuts(folder, source.pool.scratch), found)

    def rows(self) -> Int64Array:
        """Return how many numbers every group has, (groups,) int64."""
        sums = np.concatenate([[0], np.cumsum(self.found.counts)])
        edges = 2 * self.starts + np.arange(len(self.starts))
        return np.asarray(np.diff(sums[edges]), np.int64)

    def error(self) -> float:
        """Return the most by which a rank may be off: the largest share of a group's rows between two cuts."""
        rows = np.repeat(self.rows(), 2 * np.diff(self.starts) + 1)
        group = np.repeat(np.arange(len(self.starts) - 1), 2 * np.diff(self.starts) + 1)
        between = (np.arange(len(rows)) - (2 * self.starts[group] + group)) % 2 == 0
        return float((self.found.counts * between / np.maximum(rows, 1)).max(initial=0.0))

    def of(self, numbers: Float64Array, codes: Int32Array) -> Float64Array:
        """Return the ranks of numbers, (n,) float64 in [0, 1]: the share of the group below, equals counted half.

        codes: (n,) int32, the group of each. NaN for NaN, and in a group without numbers.
        """
        ranks = np.empty(len(numbers))
        _rank(numbers, codes, self.cuts, self.starts, self.found, ranks)
        return ranks

    def quantile(self, share: float) -> Float64Array:
        """Return for every group the least number with `share` of its rows at or below it, (groups,) float64.

        Between two cuts it is interpolated. NaN for a group without numbers.
        """
        values = np.empty(len(self.starts) - 1)
        _quantile(share, self.cuts, self.starts, self.found, values)
        return values


def fit_ranks(source: SignalSource, column: str, by: str, folder: str, run: Run) -> Mapping[str, object]:
    """Sketch a column, by group where `by` names one, and write the sketch to a folder; return facts."""
    groups = count_groups(source, by, folder, run)
    return {"groups": len(groups.values), "rank_error": Ranks.fit(source, column, folder, folder, run).error()}


def ranks_of_block(source: SignalSource, column: str, folder: str, scratch: str, block: str) -> Float64Array:
    """Return the ranks of a column of a block, (n,) float64, by the sketch in a folder."""
    groups = read_groups(folder)
    table = source.columns(block, [column, *groups.columns])
    return read_ranks(folder, scratch).of(numbers_of(table[column], column, source.where), groups.codes(table))


def read_ranks(folder: str, scratch: str) -> Ranks:
    """Return the sketch in a folder, memory-mapped."""
    counts = (map_array(storage.join(folder, f"{name}.npy"), Path(scratch)) for name in Counts._fields)
    return Ranks(*_read_cuts(folder, scratch), Counts(*counts))


def cuts_of(parts: list[tuple[Int32Array, Float64Array]], groups: int) -> tuple[Float64Array, Int64Array]:
    """Return cuts and starts from samples: (group, number) of each part."""
    group = np.concatenate([np.empty(0, np.int32), *(part[0] for part in parts)])
    number = np.concatenate([np.empty(0), *(part[1] for part in parts)])
    order = np.lexsort((number, group))
    group, number = group[order], number[order]
    first = np.ones(len(group), bool)
    first[1:] = (np.diff(group) != 0) | (np.diff(number) != 0)
    return number[first], np.searchsorted(group[first], np.arange(groups + 1)).astype(np.int64)


def count_between(numbers: Float64Array, codes: Int32Array, cuts: Float64Array, starts: Int64Array) -> Counts:
    """Count the numbers of a block on and between the cuts; NaN counts nowhere."""
    found = no_counts(starts)
    _count(numbers, codes, cuts, starts, found)
    return found


def add_counts(one: Counts, other: Counts) -> Counts:
    """Return the counts of two parts of the pool together; the first is changed."""
    np.add(one.counts, other.counts, out=one.counts)
    np.minimum(one.least, other.least, out=one.least)
    np.maximum(one.greatest, other.greatest, out=one.greatest)
    return one


def no_counts(starts: Int64Array) -> Counts:
    """Return the counts of no numbers."""
    groups = len(starts) - 1
    counts = np.zeros(2 * int(starts[-1]) + groups, np.int64)
    return Counts(counts, np.full(groups, np.inf), np.full(groups, -np.inf))


def _sample_block(
    source: SignalSource, column: str, folder: str, size: int, block: str
) -> tuple[Int32Array, Float64Array]:
    """Return group and number of the rows of a block whose hash is below the share of their group."""
    groups = read_groups(folder)
    table = source.columns(block, [column, *groups.columns])
    numbers, codes = numbers_of(table[column], column, source.where), groups.codes(table)
    identity = source.pool.table(block, ["identity"])["identity"].to_numpy()
    chosen = (uniform(SEED, identity) < groups.shares(size)[codes]) & ~np.isnan(numbers)
    return codes[chosen], numbers[chosen]


def _count_block(source: SignalSource, column: str, folder: str, sketch: str, block: str) -> Counts:
    groups = read_groups(folder)
    table = source.columns(block, [column, *groups.columns])
    numbers = numbers_of(table[column], column, source.where)
    return count_between(numbers, groups.codes(table), *_read_cuts(sketch, source.pool.scratch))


def _read_cuts(folder: str, scratch: str) -> tuple[Float64Array, Int64Array]:
    cuts, starts = (map_array(storage.join(folder, f"{name}.npy"), Path(scratch)) for name in ("cuts", "starts"))
    return cuts, starts


@compiled
def _place(number: float, cuts: Float64Array, low: int, high: int) -> int:
    """Return the first place in cuts[low:high] that is not below the number."""
    while low < high:
        middle = (low + high) // 2
        if cuts[middle] < number:
            low = middle + 1
        else:
            high = middle
    return low


@compiled
def _count(numbers: Float64Array, codes: Int32Array, cuts: Float64Array, starts: Int64Array, found: Counts) -> None:
    counts, least, greatest = found
    for i in range(numbers.shape[0]):
        number, g = numbers[i], codes[i]
        if np.isnan(number):
            continue
        at = _place(number, cuts, starts[g], starts[g + 1])
        on = at < starts[g + 1] and cuts[at] == number
        counts[2 * at + g + (1 if on else 0)] += 1
        least[g] = min(least[g], number)
        greatest[g] = max(greatest[g], number)


@compiled
def _rank(
    numbers: Float64Array, codes: Int32Array, cuts: Float64Array, starts: Int64Array, found: Counts, ranks: Float64Array
) -> None:
    counts, least, greatest = found
    below = np.zeros(counts.shape[0] + 1, np.int64)
    for i in range(counts.shape[0]):
        below[i + 1] = below[i] + counts[i]
    for i in range(numbers.shape[0]):
        number, g = numbers[i], codes[i]
        first, last = starts[g], starts[g + 1]
        base = below[2 * first + g]
        rows = below[2 * last + g + 1] - base
        if np.isnan(number) or rows == 0:
            ranks[i] = np.nan
            continue
        at = _place(number, cuts, first, last)
        slot = 2 * at + g
        if at < last and cuts[at] == number:
            ranks[i] = (below[slot + 1] - base + 0.5 * counts[slot + 1]) / rows
            continue
        low = cuts[at - 1] if at > first else min(least[g], number)
        high = cuts[at] if at < last else max(greatest[g], number)
        share = (number - low) / (high - low) if high > low else 0.5
        ranks[i] = (below[slot] - base + share * counts[slot]) / rows


@compiled
def _quantile(share: float, cuts: Float64Array, starts: Int64Array, found: Counts, values: Float64Array) -> None:
    counts, least, greatest = found
    for g in range(starts.shape[0] - 1):
        first, last = starts[g], starts[g + 1]
        rows = 0
        for slot in range(2 * first + g, 2 * last + g + 1):
            rows += counts[slot]
        values[g] = np.nan if rows == 0 else greatest[g]
        wanted, passed = share * rows, 0
        for slot in range(2 * first + g, 2 * last + g + 1):
            if rows == 0:
                break
            if counts[slot] > 0 and passed + counts[slot] >= wanted:
                place = slot - 2 * first - g
                at = first + place // 2
                if place % 2:
                    values[g] = cuts[at]
                else:
                    low = cuts[at - 1] if at > first else least[g]
                    high = cuts[at] if at < last else greatest[g]
                    values[g] = low + (high - low) * max(wanted - passed, 0.0) / counts[slot]
                break
            passed += counts[slot]
