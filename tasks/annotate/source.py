"""What an annotation reads: the kept rows of a block, with the columns that a recipe names and their clusters."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from evenkeel.infra.dtypes import Float32Array, UInt64Array
from evenkeel.infra.errors import StepError
from evenkeel.infra.workspace import StepRef
from evenkeel.tasks.annotate.columns import read_columns, written_columns
from evenkeel.tasks.annotate.inputs import AnnotateInputs
from evenkeel.tasks.cluster.hierarchy import Hierarchy
from evenkeel.tasks.embed.vectors import Vectors
from evenkeel.tasks.ingest.named import find_column, read_named
from evenkeel.tasks.ingest.pool import Pool
from evenkeel.tasks.sample.selection import Selection

SPLIT = "ek_split"
ALWAYS = ("row_id", "identity", "copies", "weight", "leaf")


@dataclass(frozen=True)
class AnnotationSource:
    """Read access to the kept rows for an annotation, block by block; small to send to a worker.

    pool: with the signals that it reads as columns. kept_rows: of all blocks. annotations: finished ones that it reads,
    by name. where: names the annotation in messages. only: the splits whose rows it sees; () = all.
    """

    pool: Pool
    selection: Selection
    inputs: AnnotateInputs
    kept_rows: int
    where: str
    only: tuple[str, ...] = ()

    @classmethod
    def open(cls, inputs: AnnotateInputs, scratch: Path | str, where: str) -> Self:
        """Open what the annotate step was given."""
        kept = int(inputs.sample.counts["kept"])
        return cls(
            Pool.open(inputs.ingest, scratch, inputs.signals), Selection.open(inputs.sample), inputs, kept, where
        )

    @property
    def blocks(self) -> tuple[str, ...]:
        """The names of the blocks of the pool, in order; some may have no kept row."""
        return self.pool.names

    @property
    def annotations(self) -> dict[str, StepRef]:
        """The finished annotations that it follows, by name."""
        return dict(self.inputs.annotations)

    def training(self) -> Self:
        """Return the source of the rows that are for training alone, where it follows splits; else itself."""
        rows = [ref.facts["rows"]["train"] for ref in self.annotations.values() if SPLIT in _names(ref)]
        return replace(self, only=("train",), kept_rows=int(rows[0])) if rows else self

    def held_out(self) -> Self:
        """Return the source of the rows for validation and test; call it where `training` is not all."""
        return replace(self, only=("validation", "test"), kept_rows=self.kept_rows - self.training().kept_rows)

    def hierarchy(self) -> Hierarchy:
        """Return the clusters; the column `leaf` of kept rows counts those of the finest level."""
        return Hierarchy.open(self.inputs.cluster)

    def check(self, names: Iterable[str]) -> None:
        """Raise RecipeError where the pool has no column of one of these names."""
        for name in names:
            find_column(self.pool, name, self.where)

    def kept(self, block: str, names: Iterable[str] = ()) -> pa.Table:
        """Return the kept rows of a block in order of row id, those of the selection.

        row_id and identity uint64, copies int32, weight float64, leaf int32, the columns that a recipe calls by these
        `names`, and the `ek_` columns of the annotations that this one follows.
        """
        rows = self.pool.table(block, ["row_id", "identity"])
        ids = rows["row_id"].to_numpy()
        first, last = (int(ids[0]), int(ids[-1])) if len(ids) else (1, 0)
        table = self.selection.between(first, last)
        places = np.searchsorted(ids, table["row_id"].to_numpy())
        table = table.append_column("identity", rows["identity"].take(pa.array(places))).select(ALWAYS)
        if wanted := [name for name in dict.fromkeys(names) if name not in ALWAYS]:
            named = read_named(self.pool, block, wanted, self.where).take(pa.array(places))
            for name in wanted:
                table = table.append_column(name, named[name])
        if (theirs := read_columns(self.annotations, block)) is not None:
            if not theirs["row_id"].equals(table["row_id"]):
                raise StepError("an annotation was made for other rows", where=block)
            for name in theirs.column_names[1:]:
                table = table.append_column(name, theirs[name])
        return table.filter(pc.is_in(table[SPLIT], pa.array(self.only))) if self.only else table

    def row_ids(self, block: str) -> UInt64Array:
        """Return the row ids of the kept rows of a block, ascending, (n,) uint64."""
        ids = self.pool.table(block, ["row_id"])["row_id"].to_numpy()
        if not len(ids):
            return np.empty(0, np.uint64)
        if self.only:
            return np.asarray(self.kept(block)["row_id"].to_numpy(), np.uint64)
        kept = self.selection.between(int(ids[0]), int(ids[-1]), ["row_id"])
        return np.asarray(kept["row_id"].to_numpy(), np.uint64)

    def vectors(self, block: str, table: pa.Table) -> Float32Array:
        """Return the vectors of some kept rows of a block, (n, d) float32."""
        ids = self.pool.table(block, ["row_id"])["row_id"].to_numpy()
        places = np.searchsorted(ids, table["row_id"].to_numpy())
        found: Float32Array = Vectors.open(self.inputs.embed, self.pool.scratch).block(block)[places].astype(np.float32)
        return found


def _names(annotation: StepRef) -> list[str]:
    return [column.name for column in written_columns(annotation)]
