"""Embedder `column`: the source's own vectors."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from evenkeel.infra.errors import InputError
from evenkeel.tasks.embed.sampled import Positions
from evenkeel.tasks.ingest.pool import Block, Pool


@dataclass(frozen=True)
class Column:
    """Hands on the vectors that ingest found."""

    def embed(self, pool: Pool, block: Block, positions: Positions | None = None) -> npt.NDArray[Any]:
        """Return the source's vectors, (rows, d) float16 or float32, memory-mapped."""
        vectors = pool.vectors(block)
        return vectors if positions is None else vectors[positions]

    def embed_texts(self, texts: pa.ChunkedArray) -> npt.NDArray[np.float32]:
        """Raise InputError: nobody here knows the model that made the vectors."""
        raise InputError(
            "texts cannot be embedded as the pool's were: its vectors came with the source",
            remedy="give vectors made by the same model",
        )
