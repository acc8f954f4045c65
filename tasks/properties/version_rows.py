"""Read the named columns of the rows of a version, block by block."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from evenkeel.infra import storage
from evenkeel.infra.dtypes import UInt64Array
from evenkeel.infra.tables import read_range
from evenkeel.tasks.expression.values import as_value
from evenkeel.tasks.ingest.columns import NO_GROUP
from evenkeel.tasks.ingest.named import find_column, read_named
from evenkeel.tasks.ingest.pool import Block, Pool

ROW_ID = "row_id"


@dataclass(frozen=True)
class VersionRows:
    """Read access to the kept rows of a pool; small to send to a worker. sample: the folder of the selection."""

    pool: Pool
    sample: str
    where: str

    def check(self, names: Iterable[str]) -> None:
        """Raise RecipeError where the pool has no column of one of these names."""
        for name in names:
            find_column(self.pool, name, self.where)

    def kept(self, row_id: UInt64Array) -> UInt64Array:
        """Return those of some row ids, ascending, that are in the version."""
        if not len(row_id):
            return row_id
        uri = storage.join(self.sample, "selection.parquet")
        selected = read_range(uri, int(row_id[0]), int(row_id[-1]), columns=[ROW_ID])
        kept: UInt64Array = selected[ROW_ID].to_numpy()
        return kept

    def table(self, block: Block, names: Iterable[str]) -> pa.Table:
        """Return the columns of the kept rows of a block under these names, and `row_id`; no group is null.

        A row is there once, however many copies of it the version has.
        """
        row_id = self.pool.table(block, [ROW_ID])[ROW_ID].to_numpy()
        kept = self.kept(row_id)
        table = self.columns(block, names)
        if len(kept) < len(row_id):
            table = table.take(pa.array(np.searchsorted(row_id, kept)))
        return table.append_column("row_id", pa.array(kept)) if table.num_columns else pa.table({"row_id": kept})

    def columns(self, block: Block, names: Iterable[str]) -> pa.Table:
        """Return the columns of all rows of a block under these names; a row without a group is null."""
        table = read_named(self.pool, block, names, self.where)
        for place, name in enumerate(table.column_names):
            if find_column(self.pool, name, self.where).column.startswith("group."):
                column = as_value(table[name])
                blank = pc.if_else(pc.equal(column, NO_GROUP), pa.scalar(None, pa.string()), column)
                table = table.set_column(place, name, blank)
        return table
