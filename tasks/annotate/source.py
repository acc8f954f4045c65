"""What an annotation reads: the kept rows of a block, with the columns that a recipe names and their clusters."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import pyarrow as pa

from evenkeel.infra.dtypes import Float32Array, UInt64Array
from evenkeel.infra.errors import StepError
from evenkeel.infra.workspace import StepRef
from evenkeel.tasks.annotate.columns import read_columns
from evenkeel.tasks.annotate.inputs import AnnotateInputs
from evenkeel.tasks.cluster.hierarchy import Hierarchy
from evenkeel.tasks.embed.vectors import Vectors
from evenkeel.tasks.ingest.named import find_column, read_named
from evenkeel.tasks.ingest.pool import Pool
from evenkeel.tasks.sample.selection import Selection

ALWAYS = ("row_id", "identity", "copies", "weight", "leaf")


@dataclass(frozen=True)
class AnnotationSource:
    """Read access to the kept rows for an annotation, block by block; small to send to a worker.

    pool: with the signals that it reads as columns. kept_rows: of all blocks. annotations: finished ones that it reads,
    by name. where: names the annotation in messages.
    """

    pool: Pool
    selection: Selection
    inputs: AnnotateInputs
    kept_rows: int
    where: str

    @classmethod
    def open(cls, inputs: AnnotateInputs, scratch: Path | str, where: str) -> Self:
        """Open what the annotate step was given."""
        kept = int(inputs.sample.counts["kept"])
        return cls(
            Pool.open(inputs.ingest, scratch, inputs.signals), Selection.open(inputs.sample), inputs, kept, where
        )

    @property
    def blocks(self) -> list[str]:
        """The names of the blocks of the pool, in order; some may have no kept row."""
        return [block.name for block in self.pool.blocks]

    @property
    def annotations(self) -> dict[str, StepRef]:
        """The finished annotations that it follows, by name."""
        return dict(self.inputs.annotations)

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
        return table

    def row_ids(self, block: str) -> UInt64Array:
        """Return the row ids of the kept rows of a block, ascending, (n,) uint64."""
        ids = self.pool.table(block, ["row_id"])["row_id"].to_numpy()
        if not len(ids):
            return np.empty(0, np.uint64)
        kept = self.selection.between(int(ids[0]), int(ids[-1]), ["row_id"])
        return np.asarray(kept["row_id"].to_numpy(), np.uint64)

    def vectors(self, block: str, table: pa.Table) -> Float32Array:
        """Return the vectors of some kept rows of a block, (n, d) float32."""
        ids = self.pool.table(block, ["row_id"])["row_id"].to_numpy()
        places = np.searchsorted(ids, table["row_id"].to_numpy())
        found: Float32Array = Vectors.open(self.inputs.embed, self.pool.scratch).block(block)[places].astype(np.float32)
        return found
