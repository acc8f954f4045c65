"""Whole groups or clusters as the units of a split: how many kept rows each has, and which of them make up a share."""

import operator
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import xxhash

from evenkeel.infra import storage
from evenkeel.infra.arrays import read_array, write_array
from evenkeel.infra.dtypes import Int64Array, UInt64Array
from evenkeel.infra.errors import RecipeError
from evenkeel.infra.hashing import hash_identities
from evenkeel.infra.tables import read_table, write_table
from evenkeel.tasks.annotate.column import Foreseen
from evenkeel.tasks.annotate.source import AnnotationSource
from evenkeel.tasks.signal.groups import add_counts, count_values, labels_of
from evenkeel.tasks.step import Run

MAX_VALUES = 1 << 20
NO_VALUES = pa.table({"value": pa.array([], pa.string()), "rows": pa.array([], pa.int64())})


def cluster_level(by: str) -> int | None:
    """Return the level of clusters that `by` names: 1 for `cluster`, t for `level-t`; None for a column."""
    if by == "cluster":
        return 1
    number = by.removeprefix("level-")
    return int(number) if by.startswith("level-") and number.isdigit() else None


def missing_level(by: str, levels: int) -> Foreseen | None:
    """Return why `by` names no level of so many, and a remedy; None where it names one, or a column."""
    level = cluster_level(by)
    if level is None or 1 <= level <= levels:
        return None
    return Foreseen(f"there is no {by}: there are {levels} levels of clusters", f"name level-1 to level-{levels}")


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


@dataclass(frozen=True)
class Units:
    """The clusters of a level, or the values of a column, that rows are taken by; small to send to a worker.

    by: `cluster`, `level-t` or the column. folder: of what workers read.
    """

    by: str
    folder: str

    @classmethod
    def find(cls, source: AnnotationSource, by: str, folder: str) -> "Units":
        """Write which cluster each leaf is in, where the units are clusters."""
        units = cls(by, folder)
        if (level := cluster_level(by)) is not None:
            write_array(units._clusters, ancestors(source, level))
        return units

    @property
    def columns(self) -> tuple[str, ...]:
        """The column to read for `of`, if any."""
        return (self.by,) if cluster_level(self.by) is None else ()

    def count(self, source: AnnotationSource, run: Run) -> Int64Array:
        """Return the kept rows of every unit, (k,) int64; values in ascending order, which are written for `of`.

        Raises RecipeError for more than about a million values. A row without one has the value `(none)`.
        """
        work = source.pool.rows * 16
        if not self.columns:
            count = int(read_array(self._clusters).max(initial=-1)) + 1
            counting = partial(_count_clusters, source, self._clusters, count)
            sizes = run.compute.reduce(counting, operator.iadd, source.blocks, work=work)
            return np.zeros(0, np.int64) if sizes is None else sizes
        merge = partial(_merged, source.where, self.by)
        found = run.compute.reduce(partial(_count_values, source, self.by), merge, source.blocks, work=work)
        found = NO_VALUES if found is None else found.sort_by("value")
        write_table(self._values, found)
        return np.asarray(found["rows"].to_numpy(), np.int64)

    def names(self) -> list[str]:
        """Return what counted values are called, ascending."""
        names: list[str] = read_table(self._values, ["value"])["value"].to_pylist()
        return names

    def of(self, table: pa.Table) -> Int64Array:
        """Return the cluster of each row, or the place of its value among those that were counted, (n,) int64."""
        if not self.columns:
            return np.asarray(read_array(self._clusters)[table["leaf"].to_numpy()], np.int64)
        places = pc.index_in(labels_of(table[self.by]), value_set=pa.array(self.names(), pa.string()))
        return np.asarray(places.to_numpy(zero_copy_only=False), np.int64)

    def hashes(self, count: int, seed: int) -> UInt64Array:
        """Return a hash of each of `count` counted units, (k,) uint64: that of a cluster's number, or of the value."""
        if not self.columns:
            return hash_identities(seed, np.arange(count, dtype=np.uint64))
        return hash_identities(seed, plain_hashes(self.names()))

    def numbers(self, table: pa.Table) -> UInt64Array:
        """Return what is hashed of each row, (n,) uint64: its cluster's number, or the xxh3 of its value."""
        if not self.columns:
            return np.asarray(self.of(table), np.uint64)
        labels = labels_of(table[self.by]).dictionary_encode()
        hashes = plain_hashes(labels.dictionary.to_pylist())
        return np.asarray(hashes[labels.indices.to_numpy()], np.uint64)

    @property
    def _clusters(self) -> str:
        return storage.join(self.folder, f"{self.by}.npy")

    @property
    def _values(self) -> str:
        return storage.join(self.folder, "values.parquet")


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


def _count_clusters(source: AnnotationSource, clusters: str, count: int, block: str) -> Int64Array:
    cluster = read_array(clusters)
    return np.bincount(cluster[source.kept(block)["leaf"].to_numpy()], minlength=count).astype(np.int64)


def _count_values(source: AnnotationSource, column: str, block: str) -> pa.Table:
    return _bounded(count_values(source.kept(block, [column])[column]), source.where, column)


def _merged(where: str, column: str, one: pa.Table, other: pa.Table) -> pa.Table:
    return _bounded(add_counts(one, other), where, column)


def _bounded(counted: pa.Table, where: str, column: str) -> pa.Table:
    if counted.num_rows > MAX_VALUES:
        raise RecipeError(
            f"the column {column!r} has too many values to group rows by",
            expected=f"at most {MAX_VALUES:,}",
            where=where,
            remedy="name a column with fewer values, or split by hash",
        )
    return counted
