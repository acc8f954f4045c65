"""What a signal reads: the columns, texts, vectors and clusters of a block of the pool."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Self, TypeVar

import numpy as np
import pyarrow as pa

from evenkeel.infra.dtypes import Float32Array, Int32Array
from evenkeel.infra.errors import StepError
from evenkeel.tasks.cluster.hierarchy import Hierarchy
from evenkeel.tasks.dedup.duplicates import Duplicates
from evenkeel.tasks.embed.vectors import Vectors
from evenkeel.tasks.ingest.named import find_column, read_named
from evenkeel.tasks.ingest.pool import Pool
from evenkeel.tasks.signal.inputs import SignalInputs

Read = TypeVar("Read")


@dataclass(frozen=True)
class SignalSource:
    """Read access to the pool for a signal, block by block; small to send to a worker.

    pool: with the signals that this one reads as columns. vectors, hierarchy, duplicates: where the signal needs them.
    where: names the signal in messages.
    """

    pool: Pool
    where: str
    found_vectors: Vectors | None = None
    found_hierarchy: Hierarchy | None = None
    duplicates: Duplicates | None = None

    @classmethod
    def open(cls, inputs: SignalInputs, scratch: Path | str, where: str) -> Self:
        """Open what the signal step was given."""
        return cls(
            Pool.open(inputs.ingest, scratch, inputs.signals),
            where,
            None if inputs.embed is None else Vectors.open(inputs.embed, scratch),
            None if inputs.cluster is None else Hierarchy.open(inputs.cluster),
            None if inputs.dedup is None else Duplicates.open(inputs.dedup),
        )

    @property
    def blocks(self) -> tuple[str, ...]:
        """The names of the blocks, in pool order."""
        return self.pool.names

    @property
    def vectors(self) -> Vectors:
        """The vectors of all rows of the pool; StepError for a signal that does not say it needs them."""
        return _needed(self.found_vectors, "vectors")

    @property
    def hierarchy(self) -> Hierarchy:
        """The clusters; StepError for a signal that does not say it needs them."""
        return _needed(self.found_hierarchy, "clusters")

    def check(self, names: Iterable[str]) -> None:
        """Raise RecipeError where the pool has no column of one of these names."""
        for name in names:
            find_column(self.pool, name, self.where)

    def columns(self, block: str, names: Iterable[str]) -> pa.Table:
        """Return the columns of a block that a recipe calls by these names, all its rows in pool order."""
        return read_named(self.pool, block, names, self.where)

    def numbered(self, block: str, names: Iterable[str]) -> pa.Table:
        """Return the columns of a block under the names that a recipe calls them by, and row_id; names may be none."""
        row_id = self.pool.table(block, ["row_id"])
        table = self.columns(block, names)
        return table.append_column("row_id", row_id["row_id"]) if table.num_columns else row_id

    def text(self, block: str) -> pa.ChunkedArray:
        """Return the texts of a block, (n,) string, none null. Raises InputError where the source has none."""
        return self.pool.text(block)

    def clusters(self, block: str) -> tuple[Int32Array, Float32Array]:
        """Return the leaf of each row of a block, (n,) int32, and its distance to the centroid, (n,) float32.

        A row that deduplication dropped has leaf -1 and distance NaN.
        """
        row_id = self.pool.table(block, ["row_id"])["row_id"].to_numpy()
        kept = self.hierarchy.table(block)
        place = np.searchsorted(row_id, kept["row_id"].to_numpy())
        leaf, distance = np.full(len(row_id), -1, np.int32), np.full(len(row_id), np.nan, np.float32)
        leaf[place], distance[place] = kept["leaf"].to_numpy(), kept["distance"].to_numpy()
        return leaf, distance


def _needed(part: Read | None, name: str) -> Read:
    if part is None:
        raise StepError(
            f"a signal reads {name} and does not say so", expected=f"{name!r} among those that needs() returns"
        )
    return part
