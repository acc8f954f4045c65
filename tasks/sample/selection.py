"""Read a finished selection: which rows are kept, in how many copies, and with which weight."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from evenkeel.infra import storage
from evenkeel.infra.tables import read_footer, read_range, read_table
from evenkeel.infra.workspace import StepRef


class Selection:
    """Read access to a finished selection; cheap to open, reads what it is asked for."""

    def __init__(self, uri: str) -> None:
        self.uri = uri

    @classmethod
    def open(cls, ref: StepRef | str) -> "Selection":
        """Open the selection that a sample step wrote, given its reference or the URI of its folder."""
        return cls(ref if isinstance(ref, str) else ref.uri)

    def table(self) -> pa.Table:
        """Return row_id uint64, copies int32, weight float64 (1 / inclusion probability), leaf int32, by row_id."""
        return read_table(storage.join(self.uri, "selection.parquet"))

    def between(self, first: int, last: int, columns: Sequence[str] | None = None) -> pa.Table:
        """Return the part of `table` with first <= row_id <= last, reading only the row groups that hold it."""
        return read_range(storage.join(self.uri, "selection.parquet"), first, last, columns=columns)

    def row_ids(self) -> NDArray[np.uint64]:
        """Return the kept row ids, ascending, (kept,) uint64."""
        ids: NDArray[np.uint64] = read_table(storage.join(self.uri, "selection.parquet"), ["row_id"])[
            "row_id"
        ].to_numpy()
        return ids

    @property
    def rows(self) -> int:
        """How many rows are kept, from the footer."""
        return int(read_footer(storage.join(self.uri, "selection.parquet")).num_rows)

    def quotas(self) -> pa.Table:
        """Return one row per leaf: leaf, size, quota, kept, and the quota that each baseline would give it."""
        return read_table(storage.join(self.uri, "quotas.parquet"))

    def cells(self) -> pa.Table | None:
        """Return one row per cell of the strategy: cell, size, quota, kept; None where its cells are the leaves."""
        uri = storage.join(self.uri, "cells.parquet")
        return read_table(uri) if storage.exists(uri) else None

    def candidates(self) -> pa.Table:
        """Return the balance of every candidate rule and baseline beside the chosen one."""
        return read_table(storage.join(self.uri, "candidates.parquet"))
