"""Count and add up rows by group, in bounded memory: partial groups of blocks, cut by the hash of their keys.

Where there are few groups, the partial groups of all blocks are merged in pairs on the workers. Where there are many,
each block leaves its groups in a file, cut into ranges of the hash, and a worker merges one range of all files at a
time. What comes back to the driver is what `finish` makes of a range.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from evenkeel.infra import storage
from evenkeel.infra.compute import Backend, Compute
from evenkeel.infra.sections import read_sections, write_sections
from evenkeel.infra.tables import read_batch, write_batch
from evenkeel.tasks.expression.evaluate import numbers, truths
from evenkeel.tasks.expression.frames import frame_of
from evenkeel.tasks.expression.property import Aggregate
from evenkeel.tasks.expression.values import as_value
from evenkeel.tasks.ingest.pool import Block

if TYPE_CHECKING:
    import pandas as pd

GROUPS_AT_ONCE, MOST_RANGES = 1 << 20, 1 << 12
MERGED = {"rows": "sum", "first": "min"}
OF = {"count": "sum", "share": "sum", "sum": "sum", "mean": "sum", "min": "min", "max": "max"}
Found = TypeVar("Found")


@dataclass(frozen=True)
class Grouping:
    """Which columns make the groups of a table, and what is aggregated in them; no keys = all rows are one group.

    by: groups whose first so many keys are equal come to `finish` together; 0 = each group is by itself. backend: where
    rows are grouped.
    """

    keys: tuple[str, ...]
    aggregates: tuple[Aggregate, ...] = ()
    by: int = 0
    backend: Backend = "cpu"

    def part(self, table: pa.Table) -> pa.Table:
        """Return the groups of some rows, one row each: keys, rows, first (the least row_id) and partial aggregates.

        table: the columns of keys and aggregates, and `row_id`.
        """
        columns = {name: key_of(table[key]) for name, key in zip(self._names, self.keys, strict=False)}
        if not self.keys:
            columns["k0"] = pa.nulls(table.num_rows, pa.int8())
        columns |= {"rows": pa.array(np.ones(table.num_rows, np.int64)), "first": table["row_id"]}
        for number, one in enumerate(self.aggregates):
            if one.of is None:
                continue
            if one.function in ("count", "share"):
                columns[f"a{number}"] = pc.fill_null(truths(one.of, table), False).cast(pa.int64())
            else:
                value = numbers(one.of, table)
                summed = one.function in ("sum", "mean")
                columns[f"a{number}"] = pc.fill_null(value, 0.0) if summed else value
                if summed:
                    columns[f"n{number}"] = value.is_valid().cast(pa.int64())
        return self.merged([pa.table(columns)])

    def merged(self, parts: Sequence[pa.Table]) -> pa.Table:
        """Return the groups of several parts together, one row each, in the order in which they first come."""
        whole = parts[0] if len(parts) == 1 else pa.concat_tables(parts)
        by = {name: self._merged_by(name) for name in whole.column_names if name not in self._names}
        if self.backend == "gpu":
            return grouped_on_frame(frame_of(whole, "gpu"), self._names, by, whole.schema)
        found = whole.group_by(self._names, use_threads=False).aggregate(list(by.items()))
        plain = found.select([*self._names, *(f"{name}_{how}" for name, how in by.items())])
        return plain.rename_columns([*self._names, *by]).cast(whole.schema)

    def numbers(self, groups: pa.Table) -> pa.Table:
        """Return keys and aggregates of whole groups under their names, and `rows` and `first` of each."""
        columns = {key: groups[name] for name, key in zip(self._names, self.keys, strict=False)}
        rows = groups["rows"].cast(pa.float64())
        for number, one in enumerate(self.aggregates):
            value = rows if one.of is None else groups[f"a{number}"].cast(pa.float64())
            if one.function == "share":
                value = pc.divide(value, rows)
            if one.function in ("sum", "mean"):
                known = groups[f"n{number}"].cast(pa.float64())
                value = pc.if_else(pc.equal(known, 0.0), pa.scalar(None, pa.float64()), value)
                value = pc.divide(value, known) if one.function == "mean" else value
            columns[one.name] = value
        return pa.table({**columns, "rows": groups["rows"], "first": groups["first"]})

    def ranges(self, groups: pa.Table, ranges: int) -> list[pa.Table]:
        """Return the groups by the range that the hash of their keys is in."""
        from pandas.util import hash_pandas_object

        hashes = hash_pandas_object(groups.select(self._names[: self.by or None]).to_pandas(), index=False).to_numpy()
        at = (hashes >> np.uint64(32)).astype(np.int64) * ranges >> 32
        order = np.argsort(at, kind="stable")
        cuts = np.searchsorted(at[order], np.arange(ranges + 1))
        sorted_groups = groups.take(pa.array(order))
        return [sorted_groups.slice(begin, end - begin) for begin, end in pairwise(cuts.tolist())]

    @property
    def _names(self) -> list[str]:
        return [f"k{number}" for number in range(max(1, len(self.keys)))]

    def _merged_by(self, name: str) -> str:
        if name in MERGED:
            return MERGED[name]
        return "sum" if name[0] == "n" else OF[self.aggregates[int(name[1:])].function]


def grouped_on_frame(frame: "pd.DataFrame", keys: Sequence[str], by: Mapping[str, str], schema: pa.Schema) -> pa.Table:
    """Return the groups of a frame of pandas or cuDF, null being a value; tests run it on pandas, not on cuDF."""
    found = frame.groupby(list(keys), dropna=False, sort=False).agg(dict(by)).reset_index()
    to_arrow = getattr(found, "to_arrow", None)
    table = pa.Table.from_pandas(found, preserve_index=False) if to_arrow is None else to_arrow(preserve_index=False)
    return table.select(schema.names).cast(schema)


def key_of(column: pa.ChunkedArray) -> pa.Array:
    """Return a column as a key of groups: dictionaries decoded, not-a-number as null, -0.0 as 0.0."""
    whole = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    kind = whole.type
    if pa.types.is_floating(kind):
        return pc.add(as_value(whole), 0.0)
    if pa.types.is_dictionary(kind):
        return key_of(whole.cast(kind.value_type))
    return as_value(whole) if pa.types.is_large_string(kind) else whole


def reduce_groups(
    grouping: Grouping,
    read: Callable[[Block], pa.Table],
    finish: Callable[[pa.Table], Found],
    add: Callable[[Found, Found], Found],
    blocks: Sequence[Block],
    rows: int,
    folder: str,
    compute: Compute,
) -> Found | None:
    """Return what `finish` makes of the groups of all rows, those of ranges added; None without blocks.

    read: returns the rows of a block. finish: is given whole groups, each once. rows: how many there may be. folder:
    for files on the way, removed at the end.
    """
    work = rows * 64
    ranges = min(math.ceil(rows / GROUPS_AT_ONCE), MOST_RANGES)
    if ranges < 2:
        whole = compute.reduce(partial(_part, grouping, read), partial(_merge, grouping), blocks, work=work)
        return None if whole is None else finish(whole)
    save = partial(_save, grouping, read, ranges, folder)
    groups = sum(compute.map(save, blocks, work=work))
    names = tuple(block.name for block in blocks)
    try:
        if groups <= GROUPS_AT_ONCE:
            load = partial(_load, folder, 0, ranges)
            whole = compute.reduce(load, partial(_merge, grouping), names, work=work)
            return None if whole is None else finish(whole)
        gather = partial(_gather, grouping, folder, names, finish)
        return compute.reduce(gather, partial(_either, add), range(ranges), work=work)
    finally:
        storage.remove(folder)


def _part(grouping: Grouping, read: Callable[[Block], pa.Table], block: Block) -> pa.Table:
    return grouping.part(read(block))


def _merge(grouping: Grouping, one: pa.Table | None, other: pa.Table | None) -> pa.Table | None:
    there = [part for part in (one, other) if part is not None]
    return grouping.merged(there) if there else None


def _save(grouping: Grouping, read: Callable[[Block], pa.Table], ranges: int, folder: str, block: Block) -> int:
    groups = grouping.part(read(block))
    batches = [part.combine_chunks().to_batches() for part in grouping.ranges(groups, ranges)]
    sections = [write_batch(found[0]) if found else b"" for found in batches]
    write_sections(storage.join(folder, f"{block.name}.bin"), sections)
    return int(groups.num_rows)


def _load(folder: str, first: int, last: int, name: str) -> pa.Table | None:
    """Return the groups that a block left in some ranges, None where it has none there."""
    sections = read_sections(storage.join(folder, f"{name}.bin"), first, last)
    batches = [read_batch(section) for section in sections if len(section)]
    return pa.Table.from_batches(batches) if batches else None


def _gather(
    grouping: Grouping, folder: str, names: Sequence[str], finish: Callable[[pa.Table], Found], number: int
) -> Found | None:
    """Return what `finish` makes of the groups of one range, None where it has none."""
    there = [part for name in names if (part := _load(folder, number, number + 1, name)) is not None]
    return finish(grouping.merged(there)) if there else None


def _either(add: Callable[[Found, Found], Found], one: Found | None, other: Found | None) -> Found | None:
    if one is None or other is None:
        return other if one is None else one
    return add(one, other)
