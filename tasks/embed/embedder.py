"""The interface of an embedder, and the types of what it returns."""

from typing import Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from evenkeel.tasks.embed.fit_sample import Positions
from evenkeel.tasks.ingest.pool import Block, Pool

Matrix = npt.NDArray[np.float32]
RawVectors = npt.NDArray[np.floating]  # float16 where the source's own vectors are


class Embedder(Protocol):
    """Turns the rows of a block into raw vectors; small enough to send to a worker, the same on every worker."""

    def embed(self, pool: Pool, block: Block, positions: Positions | None = None) -> RawVectors:
        """Return the vectors of a block, or of the rows at `positions`: (rows, d) float32 (or the source's float16)."""

    def dimension(self, source: int | None) -> int | None:
        """Return the length of the raw vectors; source: of those that the source brings, None where it brings none."""

    def embed_texts(self, texts: pa.ChunkedArray) -> Matrix:
        """Return raw vectors of texts from elsewhere, (n, d) float32. Raises InputError where that is impossible."""
