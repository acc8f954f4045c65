"""The embedder `column`: takes the vectors that the source brings."""

from typing import ClassVar, Literal

import pyarrow as pa
from pydantic import ConfigDict

from evenkeel.infra.errors import InputError
from evenkeel.tasks.embed.embedder import Embedder, Matrix, Place, RawVectors
from evenkeel.tasks.embed.fit_sample import Positions
from evenkeel.tasks.ingest.pool import Block, Pool


class ColumnEmbedding(Embedder):
    """The source's own vectors (`source.vector`), unchanged unless post-processing is asked for."""

    model_config = ConfigDict(extra="forbid", title="column")

    unchanged: ClassVar[bool] = True

    method: Literal["column"] = "column"

    def check(self, pool: Pool) -> None:
        """Raise InputError where the source has no vectors."""
        if not pool.has_vectors:
            raise InputError(
                "embedding.method column needs vectors, and the source has none",
                where="embedding.method",
                remedy="name the column (source.vector), or leave embedding.method at auto",
            )

    def embed(self, pool: Pool, block: Block, positions: Positions | None, place: Place) -> RawVectors:
        """Return the source's vectors, (rows, d) float16 or float32, memory-mapped."""
        vectors: RawVectors = pool.vectors(block)
        return vectors if positions is None else vectors[positions]

    def raw_dimension(self, source: int | None, place: Place) -> int | None:
        """Return the length of the source's vectors."""
        return source

    def embed_texts(self, texts: pa.ChunkedArray, place: Place) -> Matrix:
        """Raise InputError: the model that made the source's vectors is unknown."""
        raise InputError(
            "texts cannot be embedded as the pool's were: its vectors came with the source",
            remedy="give vectors made by the same model",
        )
