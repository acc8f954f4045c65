"""The duplicates of a pool: what dedup leaves for every later step."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from evenkeel.infra import storage
from evenkeel.infra.dtypes import BoolArray, Int32Array, UInt64Array
from evenkeel.infra.lookup import find_sorted
from evenkeel.infra.tables import read_range, read_table
from evenkeel.infra.workspace import StepRef
from evenkeel.tasks.dedup.ledger import DROPPED, FILTERED, SCHEMA, read_ledger


class Duplicates:
    """Read access to finished deduplication: cheap to open, small to send to a worker, no rows in memory.

    also: the folder of another ledger, whose rows are not kept either.
    """

    def __init__(self, uri: str, also: str | None = None) -> None:
        self.uri, self.also = uri, also

    @classmethod
    def open(cls, ref: StepRef | str, also: str | None = None) -> "Duplicates":
        """Open the duplicates that a dedup step left, given its reference or the URI of its folder."""
        return cls(ref if isinstance(ref, str) else ref.uri, also)

    def kept(self, row_ids: UInt64Array) -> BoolArray:
        """Return which of some rows, (n,) uint64, are kept: (n,) bool. Reads only the range of these ids."""
        dropped = self._range(DROPPED, ["row_id"], row_ids)["row_id"].to_numpy()
        kept: BoolArray = ~find_sorted(dropped, row_ids)[1]
        return kept if self.also is None else kept & Duplicates(self.also).kept(row_ids)

    def sizes(self, row_ids: UInt64Array) -> Int32Array:
        """Return the sizes of the duplicate groups of some kept rows, themselves included: (n,) int32, 1 for most."""
        groups = self._range("groups.parquet", ["row_id", "size"], row_ids)
        at, found = find_sorted(groups["row_id"].to_numpy(), row_ids)
        sizes = np.ones(len(row_ids), np.int32)
        sizes[found] = groups["size"].to_numpy()[at[found]]
        return sizes

    def dropped(self) -> pa.Table:
        """Return every row that deduplication dropped or quarantined, without those that filters removed.

        row_id, duplicate_of, kind, similarity, rule; sorted by row_id.
        """
        parts = (table.filter(pc.not_equal(table["kind"], FILTERED)) for table in read_ledger(self.uri))
        return pa.concat_tables([SCHEMA.empty_table(), *parts]).combine_chunks()

    def groups(self) -> pa.Table:
        """Return every representative and the size of its group: row_id, size; sorted by row_id."""
        return read_table(storage.join(self.uri, "groups.parquet"))

    def _range(self, name: str, columns: list[str], row_ids: UInt64Array) -> pa.Table:
        """Read the rows of a file whose row ids lie between the least and the greatest of `row_ids`."""
        low, high = (int(row_ids.min()), int(row_ids.max())) if len(row_ids) else (1, 0)
        return read_range(storage.join(self.uri, name), low, high, columns=columns)
