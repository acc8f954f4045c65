"""Check stated properties of groups: `forall lang, label: count >= 20`, or a condition on all rows of the version."""

from dataclasses import dataclass
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from evenkeel.infra.compute import Compute
from evenkeel.tasks.expression.grammar import Expression
from evenkeel.tasks.expression.property import Property
from evenkeel.tasks.ingest.pool import Block
from evenkeel.tasks.properties.answers import MOST_EXAMPLES, Answer, Counterexample
from evenkeel.tasks.properties.conditions import holds
from evenkeel.tasks.properties.grouping import Grouping, reduce_groups
from evenkeel.tasks.properties.version_rows import VersionRows

ALL_ROWS = "all rows"


@dataclass(frozen=True)
class ReadColumns:
    """Reads some columns of the kept rows of a block; sent to workers."""

    rows: VersionRows
    columns: tuple[str, ...]

    def __call__(self, block: Block) -> pa.Table:
        """Return the columns and `row_id`."""
        return self.rows.table(block, self.columns)


def scan_groups(one: Property, rows: VersionRows, kept: int, folder: str, compute: Compute) -> Answer:
    """Return how many groups were checked and broke the property, with the largest of them.

    kept: rows of the version. folder: for files on the way.
    """
    rows.check(one.columns)
    grouping = Grouping(one.keys, one.aggregates, backend=compute.backend)
    read = ReadColumns(rows, one.columns)
    finish = partial(check_groups, one, grouping)
    found = reduce_groups(grouping, read, finish, Answer.add, rows.pool.blocks, kept, folder, compute)
    return found or Answer(0, 0)


def check_groups(one: Property, grouping: Grouping, groups: pa.Table) -> Answer:
    """Return what a property finds in whole groups, one row each, as `grouping` left them."""
    table = grouping.numbers(groups)
    table = table.append_column("row_id", table["first"])
    if one.premise is not None:
        table = table.filter(_holds(one.premise, table))
    broken = table.filter(pc.invert(_holds(one.conclusion, table)))
    order = np.lexsort((broken["first"].to_numpy(), -broken["rows"].to_numpy()))[:MOST_EXAMPLES]
    named = broken.take(pa.array(order))
    scope = ", ".join(one.keys) or ALL_ROWS
    shown = [*dict.fromkeys(name for name in _names(one) if name not in one.keys)]
    examples = tuple(
        Counterexample(
            scope,
            ", ".join(shown_value(line[key]) for key in one.keys) or "the version",
            "; ".join(f"{name} = {shown_value(line[name])}" for name in shown),
            line["first"],
            -line["rows"],
        )
        for line in named.to_pylist()
    )
    return Answer(table.num_rows, broken.num_rows, examples)


def shown_value(value: object) -> str:
    """Return a value as a counterexample names it."""
    if value is None:
        return "null"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _holds(condition: Expression, table: pa.Table) -> pa.Array:
    return holds(condition, table.select([*condition.columns, "row_id"]))


def _names(one: Property) -> list[str]:
    return [name for part in (one.conclusion, one.premise) if part is not None for name in part.columns]
