"""Where annotations put the rows of a version: by rank, or those of one split and the same stages together.

So that who reads a stage or a split skips whole row groups by their statistics.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from evenkeel.infra import storage
from evenkeel.infra.compute import Compute
from evenkeel.infra.tables import write_tables
from evenkeel.infra.workspace import StepRef
from evenkeel.tasks.annotate.columns import read_columns, written_columns
from evenkeel.tasks.ingest.pool import Pool
from evenkeel.tasks.sample.selection import Selection

RANK, SPLIT, STAGE = "ek_rank", "ek_split", "ek_stage_"
SPLITS = ("train", "validation", "test")
MAX_PARTS = 64
PLACED = pa.schema([("leaf", pa.int32()), ("row_id", pa.uint64())])

Longs = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Following:
    """What the place of a row follows: the columns `ek_rank`, or `ek_split` and the stages, as far as there are any.

    coarse: of the stages only the first that takes the row, because there are too many combinations. parts: (p,) int64,
    the combinations that occur, ascending.
    """

    columns: tuple[str, ...]
    coarse: bool
    parts: Longs

    @property
    def ranked(self) -> bool:
        """Whether rows are sorted by rank."""
        return self.columns == (RANK,)

    def part(self, table: pa.Table) -> Longs:
        """Return the place in `parts` of each row of a table that has the columns, (n,) int64."""
        return np.searchsorted(self.parts, combined(table, self.columns, self.coarse)).astype(np.int64)


def combined(table: pa.Table, columns: tuple[str, ...], coarse: bool) -> Longs:
    """Return one number for the split and the stages of each row, (n,) int64: training first, then the first stages."""
    number = np.zeros(table.num_rows, np.int64)
    stages = [name for name in columns if name.startswith(STAGE)]
    if SPLIT in columns:
        split = table[SPLIT].to_numpy(zero_copy_only=False)
        number += sum((place * (split == name) for place, name in enumerate(SPLITS)), np.zeros(len(split), np.int64))
    taken = [table[name].to_numpy() > 0 for name in stages]
    if coarse and taken:
        first = np.where(np.any(taken, axis=0), np.argmax(taken, axis=0), len(taken))
        return number * (len(taken) + 1) + first
    for one in taken:
        number = 2 * number + ~one
    return number


def follow(annotations: Mapping[str, StepRef], pool: Pool, compute: Compute) -> Following | None:
    """Return what the places of rows follow; None without such columns. One pass over them."""
    names = [column.name for ref in annotations.values() for column in written_columns(ref)]
    if RANK in names:
        return Following((RANK,), False, np.zeros(1, np.int64))
    columns = tuple(name for name in names if name == SPLIT or name.startswith(STAGE))
    if not columns:
        return None
    for coarse in (len(columns) > 40, True):
        finding = partial(_parts, dict(annotations), columns, coarse)
        parts = compute.reduce(finding, np.union1d, [block.name for block in pool.blocks], work=pool.rows * 8)
        if parts is None or len(parts) <= MAX_PARTS:
            break
    return Following(columns, coarse, np.empty(0, np.int64) if parts is None else parts)


def _parts(annotations: Mapping[str, StepRef], columns: tuple[str, ...], coarse: bool, block: str) -> Longs:
    table = read_columns(annotations, block)
    assert table is not None
    return np.unique(combined(table, columns, coarse))


def write_placed(
    uri: str, annotations: Mapping[str, StepRef], pool: Pool, selection: str, following: Following, leaves: int
) -> None:
    """Write `leaf` and `row_id` of every kept row, by row id, where the leaf counts once for each part."""

    def tables() -> Iterator[pa.Table]:
        chosen = Selection(selection)
        for block in pool.blocks:
            table = read_columns(annotations, block.name)
            assert table is not None
            if not table.num_rows:
                continue
            ids = table["row_id"]
            leaf = chosen.between(ids[0].as_py(), ids[-1].as_py(), ["leaf"])["leaf"].to_numpy()
            cell = following.part(table) * leaves + leaf
            yield pa.table({"leaf": cell.astype(np.int32), "row_id": ids}, schema=PLACED)

    storage.remove(uri)
    write_tables(uri, PLACED, tables(), 1 << 20)
