"""The rows to cluster: the kept vectors of a pool, block by block, never copied as a whole."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from evenkeel.infra.dtypes import Array, Int64Array, UInt64Array
from evenkeel.tasks.cluster.inputs import AssignInputs, ClusterInputs
from evenkeel.tasks.dedup.duplicates import Duplicates
from evenkeel.tasks.embed.vectors import Vectors
from evenkeel.tasks.ingest.pool import Pool


@dataclass(frozen=True)
class Source:
    """Where the rows are; small enough to send to a worker."""

    pool: Pool
    vectors: Vectors
    duplicates: Duplicates

    @classmethod
    def open(cls, inputs: ClusterInputs | AssignInputs, scratch: Path) -> Self:
        """Open the rows that a step clusters or assigns."""
        vectors = Vectors.open(inputs.embed, scratch)
        return cls(Pool.open(inputs.ingest, scratch), vectors, Duplicates.open(inputs.dedup))

    @property
    def dimension(self) -> int:
        """Return the length of a vector."""
        return self.vectors.dimension

    @property
    def dtype(self) -> np.dtype[np.floating]:
        """Return the type of the numbers of a vector."""
        return self.vectors.dtype

    @property
    def names(self) -> tuple[str, ...]:
        """Return the names of the blocks, in pool order."""
        return self.pool.names

    def kept(self, block: str) -> tuple[UInt64Array, Int64Array]:
        """Return the row ids of the kept rows of a block, and where they are in it."""
        row_ids = self.pool.table(block, ["row_id"])["row_id"].to_numpy()
        index = np.flatnonzero(self.duplicates.kept(row_ids))
        return row_ids[index], index

    def count(self, block: str) -> int:
        """Return how many rows of a block are kept."""
        return len(self.kept(block)[0])

    def read(self, block: str) -> Array:
        """Return the kept vectors of a block, (rows, d) float16 or float32."""
        _, index = self.kept(block)
        vectors = self.vectors.block(block)
        return vectors if len(index) == len(vectors) else vectors[index]


class Stacked:
    """Matrices one below the other, read by slices of rows: what k-means copies from, without a copy in between."""

    def __init__(self, parts: Sequence[Array], dimension: int) -> None:
        self.parts = list(parts)
        self.ends = np.cumsum([0, *(len(part) for part in self.parts)])
        self.shape = (int(self.ends[-1]), dimension)
        self.dtype = np.result_type(*self.parts) if self.parts else np.dtype(np.float32)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, span: slice, /) -> Array:
        """Return rows span.start..span.stop."""
        first, last, _ = span.indices(self.shape[0])
        low, high = np.searchsorted(self.ends, [first, last], side="right") - 1
        pieces = [
            self.parts[at][max(first - self.ends[at], 0) : last - self.ends[at]]
            for at in range(low, min(high, len(self.parts) - 1) + 1)
        ]
        return pieces[0] if len(pieces) == 1 else np.concatenate(pieces)
