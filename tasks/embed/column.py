"""The embedder `column`: takes the vectors that the source brings."""

from dataclasses import dataclass

import pyarrow as pa

from evenkeel.infra.errors import InputError
from evenkeel.tasks.embed.embedder import Matrix, RawVectors
from evenkeel.tasks.embed.fit_sample import Positions
from evenkeel.tasks.ingest.pool import Block, Pool


@dataclass(frozen=True)
class Column:
    """Passes on the vectors that ingest wrote."""

    def embed(self, pool: Pool, block: Block, positions: Positions | None = None) -> RawVectors:
        """Return the source's vectors, (rows, d) float16 or float32, memory-mapped."""
        vectors: RawVectors = pool.vectors(block)
        return vectors if positions is None else vectors[positions]

    def dimension(self, source: int | None) -> int | None:
        """Return the length of the source's vectors."""
        return source

    def embed_texts(self, texts: pa.ChunkedArray) -> Matrix:
        """Raise InputError: the model that made the source's vectors is unknown."""
        raise InputError(
            "texts cannot be embedded as the pool's were: its vectors came with the source",
            remedy="give vectors made by the same model",
        )
