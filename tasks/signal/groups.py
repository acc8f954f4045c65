"""The values of a column that groups rows: how many rows of the pool have each, and which one a row has."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from evenkeel.infra import storage
from evenkeel.infra.dtypes import BoolArray, Float64Array, Int32Array, Int64Array
from evenkeel.infra.errors import InputError, RecipeError
from evenkeel.tasks.signal.source import SignalSource
from evenkeel.tasks.step import Run

NO_VALUE = "(none)"
FILE = "groups.json"
MAX_GROUPS = 1 << 16


@dataclass(frozen=True)
class Groups:
    """The groups of a pool. column: what the recipe calls it, "" where all rows are one group. values: ascending."""

    column: str
    values: tuple[str, ...]
    rows: tuple[int, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """The column to read for `codes`, if any."""
        return (self.column,) if self.column else ()

    @cached_property
    def sizes(self) -> Int64Array:
        """The rows of every group, (groups,) int64."""
        return np.array(self.rows, np.int64)

    def shares(self, size: int) -> Float64Array:
        """Return the share of every group that is about `size` of its rows, (groups,) float64."""
        return np.minimum(1.0, size / np.maximum(self.sizes, 1))

    def codes(self, table: pa.Table) -> Int32Array:
        """Return the place in `values` of the group of every row of a table, (n,) int32."""
        if not self.column:
            return np.zeros(table.num_rows, np.int32)
        places = pc.index_in(labels_of(table[self.column]), value_set=pa.array(self.values, pa.string()))
        return np.asarray(places.to_numpy(zero_copy_only=False), np.int32)

    def missing(self, table: pa.Table) -> BoolArray:
        """Return which rows of a table have no value in the column, (n,) bool."""
        labels = labels_of(table[self.column])
        return np.asarray(pc.equal(labels, NO_VALUE).to_numpy(zero_copy_only=False), bool)


def count_groups(source: SignalSource, column: str, folder: str, run: Run) -> Groups:
    """Count the rows of every value of a column, and write the groups to a folder, where workers read them.

    Raises RecipeError for more than 65,536 values.
    """
    groups = Groups("", ("",), (source.pool.rows,))
    if column:
        found = run.compute.reduce(
            partial(_count_block, source, column),
            partial(_merged, source.where, column),
            source.blocks,
            work=source.pool.rows * 16,
        )
        table = pa.table({"value": [], "rows": []}) if found is None else found.sort_by("value")
        groups = Groups(column, tuple(table["value"].to_pylist()), tuple(table["rows"].to_pylist()))
    about = {"column": column, "values": list(groups.values), "rows": list(groups.rows)}
    storage.write_json(storage.join(folder, FILE), about)
    return groups


@lru_cache(maxsize=4)
def read_groups(folder: str) -> Groups:
    """Return the groups in a folder; kept in memory between the blocks of a worker."""
    about = storage.read_json(storage.join(folder, FILE))
    return Groups(about["column"], tuple(about["values"]), tuple(about["rows"]))


def labels_of(column: pa.ChunkedArray) -> pa.Array:
    """Return the values of a column as strings, `(none)` where it has none."""
    return pc.fill_null(pc.cast(column, pa.string()), NO_VALUE).combine_chunks()


def count_values(column: pa.ChunkedArray) -> pa.Table:
    """Return how many rows have each value of a column: value, rows."""
    counted = pc.value_counts(labels_of(column))
    return pa.table({"value": counted.field("values"), "rows": counted.field("counts")})


def add_counts(one: pa.Table, other: pa.Table) -> pa.Table:
    """Return the sum of two counts of values: value, rows."""
    summed = pa.concat_tables([one, other]).group_by("value").aggregate([("rows", "sum")])
    return summed.rename_columns(["value", "rows"]).select(["value", "rows"])


def numbers_of(column: pa.ChunkedArray, name: str, where: str) -> Float64Array:
    """Return a column as numbers, (n,) float64, NaN where it has none.

    Raises RecipeError for texts and dates, InputError for an infinite number.
    """
    kind = column.type
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)):
        raise RecipeError(
            f"the column {name!r} does not hold numbers",
            expected="numbers, or true and false",
            found=str(kind),
            where=where,
            remedy="name a score, a signal or a column of numbers",
        )
    numbers: Float64Array = pc.cast(column, pa.float64(), safe=False).to_numpy().astype(np.float64, copy=False)
    if (infinite := np.isinf(numbers)).any():
        raise InputError(
            f"the column {name!r} is infinite in {int(infinite.sum()):,} row(s) of a block",
            expected="numbers, or none",
            found=str(numbers[infinite.argmax()]),
            where=where,
            remedy=f"leave those rows out, or bound the column by an expression, such as min({name}, 1e6)",
        )
    return numbers


def _count_block(source: SignalSource, column: str, block: str) -> pa.Table:
    return _bounded(count_values(source.columns(block, [column])[column]), source.where, column)


def _merged(where: str, column: str, one: pa.Table, other: pa.Table) -> pa.Table:
    return _bounded(add_counts(one, other), where, column)


def _bounded(counted: pa.Table, where: str, column: str) -> pa.Table:
    """Return the table; raise RecipeError where there are more groups than the driver should hold."""
    if counted.num_rows > MAX_GROUPS:
        examples: Sequence[str] = counted["value"].slice(0, 3).to_pylist()
        raise RecipeError(
            f"the column {column!r} has too many values to group rows by",
            expected=f"at most {MAX_GROUPS:,}",
            found=f"more, such as {', '.join(examples)}",
            where=where,
            remedy="name a column with fewer values, or leave the grouping out",
        )
    return counted
