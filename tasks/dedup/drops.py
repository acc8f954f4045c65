"""Dropped rows and their representatives: collected stage by stage, resolved once, written sorted."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from evenkeel.infra import storage
from evenkeel.infra.dtypes import BoolArray, Float32Array, Int32Array, UInt64Array
from evenkeel.infra.errors import AccountingError
from evenkeel.infra.lookup import find_sorted
from evenkeel.infra.tables import write_table
from evenkeel.tasks.dedup.ledger import ROWS_PER_GROUP, SCHEMA, merged, write_ledger

KINDS = ("exact", "near", "semantic", "excluded", "unreadable", "featureless")
EXACT, NEAR, SEMANTIC, EXCLUDED, UNREADABLE, FEATURELESS = range(6)
QUARANTINED = KINDS[EXCLUDED:]  # of no duplicate group: such rows name themselves


@dataclass(frozen=True)
class Drops:
    """Dropped rows, sorted by row id.

    row_id, duplicate_of: (n,) uint64, the row and its representative. kind: (n,) uint8, index into KINDS.
    similarity: (n,) float32 in [0, 1].
    """

    row_id: UInt64Array
    duplicate_of: UInt64Array
    kind: npt.NDArray[np.uint8]
    similarity: Float32Array

    @classmethod
    def of(
        cls, row_id: UInt64Array, duplicate_of: UInt64Array, kind: int, similarity: Float32Array | float = 1.0
    ) -> Self:
        """Return drops of one kind, sorted by row id."""
        order = np.argsort(row_id, kind="stable")
        similarities = np.broadcast_to(np.asarray(similarity, np.float32), row_id.shape)[order]
        return cls(row_id[order], duplicate_of[order], np.full(len(order), kind, np.uint8), similarities)

    @classmethod
    def gathered(cls, parts: Sequence[tuple[UInt64Array, UInt64Array, Float32Array]], kind: int) -> Self:
        """Return drops of one kind from parts (row_id, duplicate_of, similarity) in any order."""
        nothing = (np.empty(0, np.uint64), np.empty(0, np.uint64), np.empty(0, np.float32))
        row_id, duplicate_of, similarity = (np.concatenate(column) for column in zip(nothing, *parts, strict=True))
        return cls.of(row_id, duplicate_of, kind, similarity)

    @classmethod
    def none(cls) -> Self:
        """Return no drops."""
        return cls.of(np.empty(0, np.uint64), np.empty(0, np.uint64), EXACT)

    def __len__(self) -> int:
        """Return how many rows are dropped."""
        return len(self.row_id)

    def contain(self, row_ids: UInt64Array) -> BoolArray:
        """Return which of some rows are dropped, (n,) bool."""
        return find_sorted(self.row_id, row_ids)[1]

    def without(self, other: "Drops") -> "Drops":
        """Return these, less the rows that another stage has dropped."""
        return self.where(~other.contain(self.row_id))

    def where(self, chosen: BoolArray) -> "Drops":
        """Return some of these, chosen by (n,) bool."""
        return Drops(self.row_id[chosen], self.duplicate_of[chosen], self.kind[chosen], self.similarity[chosen])

    def followed_by(self, later: "Drops") -> "Drops":
        """Return both, after a later stage that dropped only rows this one had kept.

        A group whose representative is dropped later gets the representative of that; its rows take the weaker kind
        and the smaller similarity of the two links. Raises AccountingError where a row is dropped twice.
        """
        if not (len(self) and len(later)):
            return later if len(later) else self
        at, dropped_now = find_sorted(later.row_id, self.duplicate_of)
        moved = dropped_now & (self.kind < EXCLUDED)
        row_id = np.concatenate([self.row_id, later.row_id])
        order = np.argsort(row_id, kind="stable")
        row_id = row_id[order]
        if (row_id[1:] == row_id[:-1]).any():
            raise AccountingError("a row was dropped twice", where="dedup")
        columns = (
            (np.where(moved, later.duplicate_of[at], self.duplicate_of), later.duplicate_of),
            (np.where(moved, np.maximum(self.kind, later.kind[at]), self.kind), later.kind),
            (np.where(moved, np.minimum(self.similarity, later.similarity[at]), self.similarity), later.similarity),
        )
        return Drops(row_id, *(np.concatenate(pair)[order] for pair in columns))

    def sizes(self) -> tuple[UInt64Array, Int32Array]:
        """Return the representatives, ascending, and the sizes of their groups, themselves included."""
        kept, copies = np.unique(self.duplicate_of[self.kind < EXCLUDED], return_counts=True)
        return kept, (copies + 1).astype(np.int32)

    def counts(self) -> dict[str, int]:
        """Return how many rows were dropped, by kind."""
        by_kind = np.bincount(self.kind, minlength=len(KINDS))
        return {kind: int(count) for kind, count in zip(KINDS, by_kind, strict=True)}

    def tables(self) -> Iterator[pa.Table]:
        """Yield these as the ledger holds them, some rows at a time."""
        for first in range(0, len(self), ROWS_PER_GROUP):
            part = slice(first, first + ROWS_PER_GROUP)
            kinds = pa.DictionaryArray.from_arrays(pa.array(self.kind[part]), pa.array(KINDS)).cast(pa.string())
            columns = [self.row_id[part], self.duplicate_of[part], kinds, self.similarity[part]]
            yield pa.table([*columns, pa.nulls(len(kinds), pa.string())], schema=SCHEMA)

    def write(self, folder: str, filtered: Iterator[pa.Table] | None = None) -> None:
        """Write `dropped.parquet` and `groups.parquet`, both sorted by row id.

        filtered: the ledger of rows that filters removed and these do not hold, which is merged into it.
        """
        tables = self.tables()
        write_ledger(folder, tables if filtered is None else merged(tables, filtered))
        kept, size = self.sizes()
        write_table(storage.join(folder, "groups.parquet"), pa.table({"row_id": kept, "size": size}), ROWS_PER_GROUP)
