"""What is known of columns before the work: from a sample of the source, or from the pool once it is read."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from evenkeel.infra.compute import Compute
from evenkeel.infra.errors import RecipeError
from evenkeel.tasks.ingest.named import read_named
from evenkeel.tasks.ingest.pool import Pool
from evenkeel.tasks.signal.groups import labels_of

MAX_COMBINATIONS = 1 << 16
ROWS = "rows"


class _Counted(NamedTuple):
    """Rows by combination of values; few: whether there are so few that all are held."""

    table: pa.Table
    few: bool


@dataclass(frozen=True)
class Seen:
    """The values that columns of the source have.

    table: rows of a sample, None where the pool is read. whole: whether that is all there is, so that a value not seen
    is in no row. made: names of signals, of which nothing is known yet.
    """

    whole: bool
    made: frozenset[str]
    table: pa.Table | None = None
    pool: Pool | None = None
    compute: Compute | None = None

    @classmethod
    def of_sample(cls, table: pa.Table, whole: bool, made: Collection[str]) -> "Seen":
        """Return what a sample of the source says, its columns named as in the source."""
        return cls(whole, frozenset(made), table)

    @classmethod
    def of_pool(cls, pool: Pool, compute: Compute, made: Collection[str]) -> "Seen":
        """Return what the pool says, which is read on the workers where an annotation asks."""
        return cls(True, frozenset(made), None, pool, compute)

    @property
    def among(self) -> str:
        """Which rows were looked at, in words."""
        return "no row of the pool has" if self.whole else f"none of the {len(self.table or ()):,} rows sampled has"

    def counted(self, columns: Sequence[str]) -> pa.Table | None:
        """Return the combinations of values that occur, as strings, with their `rows`.

        None where a column is a signal or not there, or there are more than 65,536 combinations.
        """
        if not self._known(columns):
            return None
        if self.pool is None:
            assert self.table is not None
            found: _Counted | None = _count(pa.table({name: self.table[_bare(name)] for name in columns}))
        else:
            assert self.compute is not None
            counting = partial(_count_block, self.pool, tuple(columns))
            blocks = [block.name for block in self.pool.blocks]
            found = self.compute.reduce(counting, _added, blocks, work=self.pool.rows * 16)
        return found.table if found is not None and found.few else None

    def range(self, column: str) -> tuple[float, float] | None:
        """Return the least and the greatest number of a column; None where it is not known, or holds no numbers."""
        if not self._known([column]):
            return None
        if self.pool is None:
            assert self.table is not None
            return _range(self.table[_bare(column)])
        assert self.compute is not None
        blocks = [block.name for block in self.pool.blocks]
        ends = self.compute.map(partial(_range_block, self.pool, column), blocks, work=self.pool.rows * 8)
        there = [one for one in ends if one is not None]
        return (min(low for low, _ in there), max(high for _, high in there)) if there else None

    def some(self, column: str) -> pa.ChunkedArray | None:
        """Return the values of a column in the sample, or in the first block of the pool; None where it is unknown."""
        if not self._known([column]):
            return None
        if self.pool is None:
            assert self.table is not None
            return self.table[_bare(column)]
        return read_named(self.pool, self.pool.blocks[0], [column], "")[column] if self.pool.blocks else None

    def _known(self, columns: Sequence[str]) -> bool:
        names = [_bare(name) for name in columns]
        if any(name in self.made for name in names):
            return False
        if self.pool is None:
            return self.table is not None and set(names) <= set(self.table.column_names)
        try:
            read_named(self.pool, self.pool.blocks[0], columns, "") if self.pool.blocks else None
        except RecipeError:
            return False
        return bool(self.pool.blocks)


def _bare(name: str) -> str:
    kind, _, rest = name.partition(".")
    return rest if kind in ("group", "score") and rest else name


def _count_block(pool: Pool, columns: tuple[str, ...], block: str) -> _Counted:
    return _count(read_named(pool, block, columns, ""))


def _count(table: pa.Table) -> _Counted:
    if any(pa.types.is_nested(column.type) for column in table.itercolumns()):
        return _Counted(table.slice(0, 0), False)
    labels = {name: labels_of(table[name]) for name in table.column_names}
    return _summed(pa.table({**labels, ROWS: pa.array(np.ones(table.num_rows, np.int64))}))


def _added(one: _Counted, other: _Counted) -> _Counted:
    if not (one.few and other.few):
        return one if not one.few else other
    return _summed(pa.concat_tables([one.table, other.table]))


def _summed(table: pa.Table) -> _Counted:
    names = [name for name in table.column_names if name != ROWS]
    counted = table.group_by(names, use_threads=False).aggregate([(ROWS, "sum")])
    counted = counted.select([*names, f"{ROWS}_sum"]).rename_columns([*names, ROWS])
    few = counted.num_rows <= MAX_COMBINATIONS
    return _Counted(counted if few else counted.slice(0, 0), few)


def _range_block(pool: Pool, column: str, block: str) -> tuple[float, float] | None:
    return _range(read_named(pool, block, [column], "")[column])


def _range(column: pa.ChunkedArray) -> tuple[float, float] | None:
    if not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
        return None
    ends = pc.min_max(column)
    low, high = ends["min"].as_py(), ends["max"].as_py()
    return None if low is None else (float(low), float(high))
