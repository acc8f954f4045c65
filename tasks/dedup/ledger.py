"""The ledger of rows that leave before clustering: `dropped.parquet`, sorted by row id, read and written in streams.

Filters write it, deduplication adds to it, and a filter that comes after adds again: each merges what was there with
its own, a group of rows at a time, so that memory does not grow with the rows that leave.
"""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from evenkeel.infra import storage
from evenkeel.infra.dtypes import BoolArray, UInt64Array
from evenkeel.infra.lookup import find_sorted
from evenkeel.infra.tables import read_groups, write_tables

DROPPED = "dropped.parquet"
FILTERED = "filtered"
SCHEMA = pa.schema(
    [
        ("row_id", pa.uint64()),
        ("duplicate_of", pa.uint64()),
        ("kind", pa.string()),
        ("similarity", pa.float32()),
        ("rule", pa.string()),
    ]
)
ROWS_PER_GROUP = 1 << 16


def filtered_rows(row_id: UInt64Array, rules: pa.Array) -> pa.Table:
    """Return rows that left by a rule, (n,) string, as the ledger holds them; each names itself."""
    rows = len(row_id)
    kind = pa.repeat(pa.scalar(FILTERED), rows)
    columns = [pa.array(row_id), pa.array(row_id), kind, pa.array(np.zeros(rows, np.float32)), rules]
    return pa.table(columns, schema=SCHEMA)


def read_ledger(folder: str) -> Iterator[pa.Table]:
    """Yield the ledger in a folder, some rows at a time."""
    return read_groups(storage.join(folder, DROPPED))


def write_ledger(folder: str, tables: Iterator[pa.Table]) -> None:
    """Write tables that come sorted by row id as the ledger of a folder."""
    write_tables(storage.join(folder, DROPPED), SCHEMA, tables, ROWS_PER_GROUP)


def merged(one: Iterator[pa.Table], other: Iterator[pa.Table]) -> Iterator[pa.Table]:
    """Yield two ledgers that come sorted by row id as one."""
    left, right = _next(one), _next(other)
    while left is not None and right is not None:
        bound = min(left["row_id"][-1].as_py(), right["row_id"][-1].as_py())
        at, by = (int(np.searchsorted(part["row_id"].to_numpy(), np.uint64(bound), "right")) for part in (left, right))
        yield pa.concat_tables([left.slice(0, at), right.slice(0, by)]).sort_by("row_id")
        left = left.slice(at) if at < left.num_rows else _next(one)
        right = right.slice(by) if by < right.num_rows else _next(other)
    for rest, more in ((left, one), (right, other)):
        if rest is not None:
            yield rest
            yield from more


def listed(folder: str, row_ids: UInt64Array) -> BoolArray:
    """Return which of some rows are in the ledger of a folder, (n,) bool, reading it once."""
    found = np.zeros(len(row_ids), np.bool_)
    for table in read_ledger(folder) if len(row_ids) else ():
        found |= find_sorted(table["row_id"].to_numpy(), row_ids)[1]
    return found


def _next(tables: Iterator[pa.Table]) -> pa.Table | None:
    return next((table for table in tables if table.num_rows), None)
