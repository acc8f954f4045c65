"""Scan the rows of a version for those that break stated properties: one pass for all properties of rows.

A row is checked where the premise is true, and breaks the property unless the conclusion is true; null is not true.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from evenkeel.infra.compute import Backend, Compute
from evenkeel.tasks.expression.evaluate import truths
from evenkeel.tasks.expression.frames import NotOnFrames, true_rows
from evenkeel.tasks.expression.grammar import Expression
from evenkeel.tasks.expression.property import Property
from evenkeel.tasks.ingest.pool import Block
from evenkeel.tasks.properties.answers import MOST_EXAMPLES, Answer, Counterexample
from evenkeel.tasks.properties.version_rows import VersionRows

BYTES_PER_VALUE = 16


def scan_rows(properties: Sequence[Property], rows: VersionRows, compute: Compute) -> list[Answer]:
    """Return how many rows were checked and broke each property, with the first of them by row id."""
    scan = _Scan(tuple(properties), rows, compute.backend)
    rows.check(scan.columns)
    work = rows.pool.rows * BYTES_PER_VALUE * (1 + len(scan.columns))
    found = compute.reduce(scan, _added, rows.pool.blocks, work=work)
    return found or [Answer(0, 0) for _ in properties]


@dataclass(frozen=True)
class _Scan:
    properties: tuple[Property, ...]
    rows: VersionRows
    backend: Backend

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(name for one in self.properties for name in one.columns))

    def __call__(self, block: Block) -> list[Answer]:
        table = self.rows.table(block, self.columns)
        return [check_rows(one, table, self.backend) for one in self.properties]


def check_rows(one: Property, table: pa.Table, backend: Backend = "cpu") -> Answer:
    """Return what a property of rows finds in a table with its columns and `row_id`, ascending."""
    if one.premise is not None:
        table = table.filter(holds(one.premise, table, backend))
    broken = table["row_id"].filter(pc.invert(holds(one.conclusion, table, backend)))
    named = broken.slice(0, MOST_EXAMPLES).to_pylist()
    return Answer(table.num_rows, len(broken), tuple(Counterexample("row", "", "", row, row) for row in named))


def holds(condition: Expression, table: pa.Table, backend: Backend = "cpu") -> pa.Array:
    """Return for which rows a condition is true, (n,) bool without null; on the device where it can be."""
    if backend == "gpu":
        try:
            return pa.array(true_rows(condition, table, backend))
        except NotOnFrames:
            pass
    return pc.fill_null(truths(condition, table), False)


def _added(one: list[Answer], other: list[Answer]) -> list[Answer]:
    return [mine.add(its) for mine, its in zip(one, other, strict=True)]
