"""Check one dependency, one set of unique columns or the near-misses of one column over all rows of a version."""

from collections.abc import Mapping
from functools import partial
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from evenkeel.infra.compute import Compute
from evenkeel.infra.errors import RecipeError
from evenkeel.tasks.ingest.pool import Block
from evenkeel.tasks.properties.answers import MOST_EXAMPLES, Answer, Counterexample, first
from evenkeel.tasks.properties.grouping import Grouping, reduce_groups
from evenkeel.tasks.properties.groups import ReadColumns, shown_value
from evenkeel.tasks.properties.near_values import NearMiss, near_misses
from evenkeel.tasks.properties.version_rows import VersionRows

MOST_VALUES, SHOWN_VALUES = 200_000, 3
NOTHING = ""  # the column of an empty left side, which has one value


class ValueCounts(NamedTuple):
    """Rows by value and one row of each; None where a column has more than 200,000 different values."""

    rows: Mapping[str, int] | None
    example: Mapping[str, int]


def scan_dependency(
    left: tuple[str, ...], right: str, rows: VersionRows, kept: int, folder: str, compute: Compute
) -> Answer:
    """Return how many rows there are and how many must go so that left determines right (g3), with values at odds.

    left: may be empty; right has one value then.
    """
    rows.check([*left, right])
    left = left or (NOTHING,)
    grouping = Grouping((*left, right), by=len(left), backend=compute.backend)
    finish = partial(check_dependency, left, right)
    read = partial(_read_with_nothing, rows, (*left, right))
    found = reduce_groups(grouping, read, finish, Answer.add, rows.pool.blocks, kept, folder, compute)
    return found or Answer(0, 0)


def _read_with_nothing(rows: VersionRows, columns: tuple[str, ...], block: Block) -> pa.Table:
    """Return the columns of the kept rows of a block; the column called "" is null in all rows."""
    table = rows.table(block, [name for name in columns if name != NOTHING])
    return table.append_column(NOTHING, pa.nulls(table.num_rows, pa.int8())) if NOTHING in columns else table


def check_dependency(left: tuple[str, ...], right: str, groups: pa.Table) -> Answer:
    """Return what a dependency finds in groups by left and right; all groups of a value of left are there."""
    if not groups.num_rows:
        return Answer(0, 0)
    keys = [f"k{number}" for number in range(len(left))]
    whole = groups.group_by(keys, use_threads=False).aggregate([("rows", "sum"), ("rows", "max"), ("rows", "count")])
    wrong = pc.subtract(whole["rows_sum"], whole["rows_max"])
    rows, broken = int(pc.sum(whole["rows_sum"]).as_py()), int(pc.sum(wrong).as_py())
    at_odds = whole.append_column("wrong", wrong).filter(pc.greater(whole["rows_count"], 1))
    worst = at_odds.take(pa.array(np.argsort(-at_odds["wrong"].to_numpy(), kind="stable")[:MOST_EXAMPLES]))
    examples = []
    for line in worst.to_pylist():
        mask = pa.array(np.ones(groups.num_rows, np.bool_))
        for key in keys:
            value = pa.scalar(line[key], groups[key].type)
            same = pc.is_null(groups[key]) if line[key] is None else pc.equal(groups[key], value)
            mask = pc.and_(mask, pc.fill_null(same, False))
        values = groups.filter(mask).sort_by([("rows", "descending"), ("first", "ascending")])
        shown = values.slice(0, SHOWN_VALUES).to_pylist()
        more = f" and {values.num_rows - SHOWN_VALUES:,} more" if values.num_rows > SHOWN_VALUES else ""
        last = f"k{len(left)}"
        why = f"{right}: " + ", ".join(f"{shown_value(one[last])} ({one['rows']:,})" for one in shown) + more
        name = ", ".join(shown_value(line[key]) for key in keys)
        examples.append(Counterexample(", ".join(left), name, why, shown[1]["first"], -line["wrong"]))
    return Answer(rows, broken, first(tuple(examples)))


def scan_uniques(columns: tuple[str, ...], rows: VersionRows, kept: int, folder: str, compute: Compute) -> Answer:
    """Return how many rows there are and how many repeat the values of an earlier one, with values that repeat."""
    rows.check(columns)
    grouping = Grouping(columns, backend=compute.backend)
    finish = partial(check_uniques, columns)
    read = ReadColumns(rows, columns)
    found = reduce_groups(grouping, read, finish, Answer.add, rows.pool.blocks, kept, folder, compute)
    return found or Answer(0, 0)


def check_uniques(columns: tuple[str, ...], groups: pa.Table) -> Answer:
    """Return what repeats among groups by some columns."""
    if not groups.num_rows:
        return Answer(0, 0)
    count = groups["rows"].to_numpy()
    repeated = groups.filter(pc.greater(groups["rows"], 1))
    order = np.lexsort((repeated["first"].to_numpy(), -repeated["rows"].to_numpy()))[:MOST_EXAMPLES]
    examples = tuple(
        Counterexample(
            ", ".join(columns),
            ", ".join(shown_value(line[f"k{number}"]) for number in range(len(columns))),
            f"{line['rows']:,} rows",
            line["first"],
            -line["rows"],
        )
        for line in repeated.take(pa.array(order)).to_pylist()
    )
    return Answer(int(count.sum()), int(count.sum() - len(count)), examples)


def count_values(column: str, rows: VersionRows, kept: int, folder: str, compute: Compute) -> ValueCounts:
    """Return the rows of every value of a column of texts. Raises RecipeError for a column of another type."""
    rows.check([column])
    grouping = Grouping((column,), backend=compute.backend)
    read = ReadColumns(rows, (column,))
    found = reduce_groups(grouping, read, partial(_counted, column), _joined, rows.pool.blocks, kept, folder, compute)
    return found or ValueCounts({}, {})


def find_near_misses(counts: ValueCounts, ratio: float) -> list[NearMiss]:
    """Return the near-misses among values, none where there are too many to compare."""
    return [] if counts.rows is None else near_misses(counts.rows, ratio)


def scan_near_misses(column: str, ratio: float, counts: ValueCounts) -> Answer:
    """Return how many rows hold a text and how many a near-miss of a far commoner one."""
    found = find_near_misses(counts, ratio)
    examples = tuple(
        Counterexample(
            column,
            one.value,
            f"{one.rows:,} row{'' if one.rows == 1 else 's'}; {one.near} has {one.near_rows:,}",
            counts.example[one.value],
            -one.rows,
        )
        for one in found
    )
    return Answer(sum((counts.rows or {}).values()), sum(one.rows for one in found), first(examples))


def _counted(column: str, groups: pa.Table) -> ValueCounts:
    groups = groups.filter(pc.is_valid(groups["k0"]))
    if not (pa.types.is_string(groups["k0"].type) or groups.num_rows == 0):
        raise RecipeError(
            f"near-misses are looked for among texts, and {column!r} holds none",
            found=str(groups["k0"].type),
            where="gates",
            remedy="name a column of texts",
        )
    if groups.num_rows > MOST_VALUES:
        return ValueCounts(None, {})
    values = groups["k0"].to_pylist()
    return ValueCounts(
        dict(zip(values, groups["rows"].to_pylist(), strict=True)),
        dict(zip(values, groups["first"].to_pylist(), strict=True)),
    )


def _joined(one: ValueCounts, other: ValueCounts) -> ValueCounts:
    if one.rows is None or other.rows is None or len(one.rows) + len(other.rows) > MOST_VALUES:
        return ValueCounts(None, {})
    return ValueCounts({**one.rows, **other.rows}, {**one.example, **other.example})
