"""Whole groups or clusters as the units of a split: how many kept rows each has, and which of them make up a share."""

import operator
from collections.abc import Sequence
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import xxhash

from evenkeel.infra.dtypes import Int64Array, UInt64Array
from evenkeel.infra.errors import RecipeError
from evenkeel.infra.hashing import hash_identities
from evenkeel.tasks.annotate.source import AnnotationSource
from evenkeel.tasks.signal.groups import labels_of
from evenkeel.tasks.step import Run

MAX_VALUES = 1 << 20


def cluster_level(by: str) -> int | None:
    """Return the level of clusters that `by` names: 1 for `cluster`, t for `level-t`; None for a column."""
    if by == "cluster":
        return 1
    number = by.removeprefix("level-")
    return int(number) if by.startswith("level-") and number.isdigit() else None


def ancestors(source: AnnotationSource, level: int) -> Int64Array:
    """Return the cluster of every leaf at a level, (leaves,) int64. Raises RecipeError where there is no such level."""
    hierarchy = source.hierarchy()
    if not 1 <= level <= len(hierarchy.levels):
        raise RecipeError(
            f"there is no level {level} of clusters",
            expected=f"level-1 to level-{len(hierarchy.levels)}",
            where=source.where,
        )
    return hierarchy.ancestors(level).astype(np.int64)


def count_clusters(source: AnnotationSource, cluster: Int64Array, run: Run) -> Int64Array:
    """Return the kept rows of every cluster of a level, (k,) int64, given the cluster of every leaf."""
    counting = partial(_count_clusters, source, cluster, int(cluster.max(initial=-1)) + 1)
    found = run.compute.reduce(counting, operator.iadd, source.blocks, work=source.pool.rows * 16)
    return np.zeros(0, np.int64) if found is None else found


def count_values(source: AnnotationSource, column: str, run: Run) -> tuple[list[str], Int64Array]:
    """Return the values of a column among the kept rows, ascending, and the rows of each, (values,) int64.

    A row without one has the value `(none)`. Raises RecipeError for more than about a million values.
    """
    counting = partial(_count_values, source, column)
    merge = partial(_merged, source.where, column)
    found = run.compute.reduce(counting, merge, source.blocks, work=source.pool.rows * 16)
    if found is None:
        return [], np.empty(0, np.int64)
    ordered = found.sort_by("value")
    return ordered["value"].to_pylist(), np.asarray(ordered["rows"].to_numpy(), np.int64)


def codes_of(table: pa.Table, column: str, values: Sequence[str]) -> Int64Array:
    """Return the place in `values` of the value of each row of a table, (n,) int64."""
    places = pc.index_in(labels_of(table[column]), value_set=pa.array(values, pa.string()))
    return np.asarray(places.to_numpy(zero_copy_only=False), np.int64)


def value_hashes(values: Sequence[str], seed: int) -> UInt64Array:
    """Return the hash of each value, (n,) uint64: the same in every version."""
    return hash_identities(seed, plain_hashes(values))


def plain_hashes(values: Sequence[str]) -> UInt64Array:
    """Return the xxh3 of each value, (n,) uint64."""
    return np.array([xxhash.xxh3_64_intdigest(value.encode()) for value in values], np.uint64)


def choose_units(sizes: Int64Array, hashes: UInt64Array, wanted: Sequence[int]) -> list[Int64Array]:
    """Return for each wanted number of rows the units that make it up, in the order of their hashes.

    Each unit is taken where it still fits, so that the rows found fall short by less than any unit passed over.
    """
    left = np.lexsort((np.arange(len(sizes)), hashes))
    chosen: list[Int64Array] = []
    for rows in wanted:
        mine: list[int] = []
        for unit in left.tolist():
            if 0 < sizes[unit] <= rows:
                mine.append(unit)
                rows -= int(sizes[unit])
            if not rows:
                break
        chosen.append(np.array(mine, np.int64))
        left = left[~np.isin(left, chosen[-1])]
    return chosen


def _count_clusters(source: AnnotationSource, cluster: Int64Array, count: int, block: str) -> Int64Array:
    return np.bincount(cluster[source.kept(block)["leaf"].to_numpy()], minlength=count).astype(np.int64)


def _count_values(source: AnnotationSource, column: str, block: str) -> pa.Table:
    counted = pc.value_counts(labels_of(source.kept(block, [column])[column]))
    return _bounded(pa.table({"value": counted.field("values"), "rows": counted.field("counts")}), source.where, column)


def _merged(where: str, column: str, one: pa.Table, other: pa.Table) -> pa.Table:
    summed = pa.concat_tables([one, other]).group_by("value").aggregate([("rows", "sum")])
    return _bounded(summed.rename_columns(["value", "rows"]).select(["value", "rows"]), where, column)


def _bounded(counted: pa.Table, where: str, column: str) -> pa.Table:
    if counted.num_rows > MAX_VALUES:
        raise RecipeError(
            f"the column {column!r} has too many values to group rows by",
            expected=f"at most {MAX_VALUES:,}",
            where=where,
            remedy="name a column with fewer values, or split by hash",
        )
    return counted
