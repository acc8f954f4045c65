"""Means by group with their sampling noise: one pass, fixed in size by the number of groups.

The noise is that of the Poisson bootstrap (Hanley and MacGibbon 2006; Chamandy et al. 2012): in each replicate a row
counts Poisson(1) times. How often follows from a hash of its identity, so that no worker and no order changes it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from evenkeel.infra import storage
from evenkeel.infra.compute import Compute
from evenkeel.infra.dtypes import Float64Array, Int64Array, UInt64Array
from evenkeel.infra.errors import RecipeError
from evenkeel.infra.hashing import hash_identities
from evenkeel.infra.tables import read_table
from evenkeel.tasks.expression.evaluate import numbers, truths
from evenkeel.tasks.expression.property import Aggregate
from evenkeel.tasks.ingest.pool import Block
from evenkeel.tasks.properties.grouping import key_of
from evenkeel.tasks.properties.groups import shown_value
from evenkeel.tasks.properties.version_rows import VersionRows

REPLICATES, SEED, ROWS_PER_CHUNK, MOST_GROUPS = 200, 0xB007, 8192, 10_000
TIMES = np.repeat(np.arange(6), [95, 93, 47, 16, 4, 1]).astype(np.float64)
"""How often a row counts, by one byte of its hash: Poisson(1) in 256ths, of mean exactly 1."""


class GroupMeans(NamedTuple):
    """Sums by group. names: (k,). sums: (k, 2, 1 + 200) float64, rows with a value and the sum of their values: as they
    are, then in each replicate."""

    names: tuple[str, ...]
    sums: Float64Array

    def add(self, other: "GroupMeans") -> "GroupMeans":
        """Return the sums over the rows of both."""
        names = tuple(sorted({*self.names, *other.names}))
        total = np.zeros((len(names), *self.sums.shape[1:]))
        for part in (self, other):
            total[np.searchsorted(np.array(names, object), np.array(part.names, object))] += part.sums
        return GroupMeans(names, total)

    def means(self) -> Float64Array:
        """Return the mean of every group and replicate, (k, 1 + 200), NaN where it has no row with a value."""
        rows, values = self.sums[:, 0], self.sums[:, 1]
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(np.where(rows > 0, values / rows, np.nan))


def mean_by_group(metric: Aggregate, keys: tuple[str, ...], rows: VersionRows, compute: Compute) -> GroupMeans:
    """Return the means of a metric, `mean(number)` or `share(condition)`, by group over the rows of the version.

    Raises RecipeError where a column is missing or does not fit, or where there are more than 10,000 groups.
    """
    columns = tuple(dict.fromkeys([*keys, *metric.columns]))
    rows.check(columns)
    return _reduce(partial(_metric, metric, columns, rows), keys, rows, compute)


def selection_by_group(keys: tuple[str, ...], clustering: str, rows: VersionRows, compute: Compute) -> GroupMeans:
    """Return the share of rows that were kept, by group, of the rows that sampling chose from.

    clustering: the folder of the cluster step, whose rows these are; "" = all rows of the pool.
    """
    rows.check(keys)
    return _reduce(partial(_selection, keys, clustering, rows), keys, rows, compute)


def _reduce(
    read: Callable[[Block], tuple[pa.Table, Float64Array]], keys: tuple[str, ...], rows: VersionRows, compute: Compute
) -> GroupMeans:
    work = rows.pool.rows * 1024
    found = compute.reduce(_Sum(read, keys, rows), GroupMeans.add, rows.pool.blocks, work=work)
    return found or GroupMeans((), np.zeros((0, 2, 1 + REPLICATES)))


def _metric(
    metric: Aggregate, columns: tuple[str, ...], rows: VersionRows, block: Block
) -> tuple[pa.Table, Float64Array]:
    """Return the kept rows of a block and the value of each, NaN where it has none."""
    table = rows.table(block, columns)
    assert metric.of is not None
    if metric.function == "share":
        return table, pc.fill_null(truths(metric.of, table), False).cast(pa.float64()).to_numpy(zero_copy_only=False)
    return table, numbers(metric.of, table).to_numpy(zero_copy_only=False)


def _selection(
    keys: tuple[str, ...], clustering: str, rows: VersionRows, block: Block
) -> tuple[pa.Table, Float64Array]:
    """Return the rows of a block that sampling chose from, and for each whether it was kept, 1 or 0."""
    row_id = rows.pool.table(block, ["row_id"])["row_id"].to_numpy()
    table = rows.columns(block, keys).append_column("row_id", pa.array(row_id))
    kept = np.isin(row_id, rows.kept(row_id), assume_unique=True).astype(np.float64)
    if not clustering:
        return table, kept
    clustered = read_table(storage.join(clustering, "rows", f"{block.name}.parquet"), ["row_id"])["row_id"].to_numpy()
    there = np.searchsorted(row_id, clustered)
    return table.take(pa.array(there)), kept[there]


@dataclass(frozen=True)
class _Sum:
    read: Callable[[Block], tuple[pa.Table, Float64Array]]
    keys: tuple[str, ...]
    rows: VersionRows

    def __call__(self, block: Block) -> GroupMeans:
        table, values = self.read(block)
        known = np.flatnonzero(~np.isnan(values))
        names, group = self._groups(table)
        if len(names) > MOST_GROUPS:
            raise RecipeError(
                f"a metric by {', '.join(self.keys)} has too many groups",
                expected=f"at most {MOST_GROUPS:,}",
                found=f"{len(names):,} in one block",
                where=self.rows.where,
                remedy="name a column with fewer values, or make bins of it",
            )
        of_pool = self.rows.pool.table(block, ["row_id", "identity"])
        place = np.searchsorted(of_pool["row_id"].to_numpy(), table["row_id"].to_numpy()[known])
        identity = of_pool["identity"].to_numpy()[place]
        return GroupMeans(names, sum_replicates(group[known], values[known], identity, len(names)))

    def _groups(self, table: pa.Table) -> tuple[tuple[str, ...], Int64Array]:
        """Return the names of the groups, ascending, and the group of every row, (n,)."""
        columns = [pc.dictionary_encode(key_of(table[key]), null_encoding="encode") for key in self.keys]
        code = np.zeros(table.num_rows, np.int64)
        for one in columns:
            code = code * max(1, len(one.dictionary)) + one.indices.to_numpy(zero_copy_only=False)
        found, group = np.unique(code, return_inverse=True)
        parts = []
        for one in reversed(columns):
            size = max(1, len(one.dictionary))
            values = [shown_value(value) for value in one.dictionary.to_pylist()]
            parts.append([values[at] for at in (found % size).tolist()])
            found = found // size
        names = [", ".join(each) for each in zip(*reversed(parts), strict=True)]
        distinct = sorted(set(names))
        return tuple(distinct), np.searchsorted(np.array(distinct, object), np.array(names, object))[group]


def sum_replicates(group: Int64Array, values: Float64Array, identity: UInt64Array, groups: int) -> Float64Array:
    """Return rows and sums by group, (groups, 2, 1 + 200) float64: as they are, then of every replicate."""
    total = np.zeros((groups, 2, 1 + REPLICATES))
    for first in range(0, len(values), ROWS_PER_CHUNK):
        part = slice(first, first + ROWS_PER_CHUNK)
        times = np.ones((len(values[part]), 1 + REPLICATES))
        for word in range(REPLICATES // 8):
            hashes = hash_identities(SEED + word, identity[part])
            times[:, 1 + 8 * word : 9 + 8 * word] = TIMES[hashes.view(np.uint8).reshape(-1, 8)]
        order = np.argsort(group[part], kind="stable")
        here, begin = np.unique(group[part][order], return_index=True)
        if len(here):
            times = times[order]
            total[here, 0] += np.add.reduceat(times, begin)
            times *= values[part][order][:, None]
            total[here, 1] += np.add.reduceat(times, begin)
    return total
