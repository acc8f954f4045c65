"""An order that runs through the stages of a recipe: rows come by the first stage that takes them, then as it says.

So the rows of a stage lie together in a version that is sorted by rank, and a reader of one stage skips the others.
"""

import operator
from dataclasses import dataclass
from functools import partial

import numpy as np
import pyarrow as pa

from evenkeel.infra.dtypes import Int64Array, UInt64Array
from evenkeel.tasks.annotate.columns import written_columns
from evenkeel.tasks.annotate.source import AnnotationSource
from evenkeel.tasks.annotate.units import Units
from evenkeel.tasks.step import Run

STAGE = "ek_stage_"


@dataclass(frozen=True)
class Stretches:
    """One stretch of the order for each stage, and one for the rows that none takes; one alone without stages."""

    columns: tuple[str, ...]

    @classmethod
    def of(cls, source: AnnotationSource) -> "Stretches":
        """Return those of the stages that an annotation follows."""
        written = [column.name for ref in source.annotations.values() for column in written_columns(ref)]
        return cls(tuple(name for name in written if name.startswith(STAGE)))

    def __len__(self) -> int:
        return len(self.columns) + 1

    def number(self, table: pa.Table) -> Int64Array:
        """Return the stretch of each row, (n,) int64: the first stage that takes it."""
        if not self.columns:
            return np.zeros(table.num_rows, np.int64)
        taken = np.stack([table[name].to_numpy() > 0 for name in self.columns])
        return np.where(taken.any(axis=0), taken.argmax(axis=0), len(self.columns)).astype(np.int64)

    def before(self, table: pa.Table, number: UInt64Array) -> UInt64Array:
        """Return keys that sort by stretch, then by a key of 64 bits, the last few of which give way, (n,) uint64."""
        bits = np.uint64(len(self.columns).bit_length())
        if not self.columns:
            return number
        return np.asarray((self.number(table).astype(np.uint64) << (np.uint64(64) - bits)) | (number >> bits))

    def count(self, source: AnnotationSource, units: Units | None, many: int, run: Run) -> Int64Array:
        """Return the rows of every stretch and unit, (stretches, many) int64; units: None = one unit."""
        found = run.compute.reduce(
            partial(_count, source, self, units, many), operator.iadd, source.blocks, work=source.pool.rows * 16
        )
        return np.zeros((len(self), many), np.int64) if found is None else found


def _count(source: AnnotationSource, stretches: Stretches, units: Units | None, many: int, block: str) -> Int64Array:
    table = source.kept(block, () if units is None else units.columns)
    unit = np.zeros(table.num_rows, np.int64) if units is None else units.of(table)
    cell = stretches.number(table) * many + unit
    return np.bincount(cell, minlength=len(stretches) * many).astype(np.int64).reshape(len(stretches), many)
