"""What an embedder is."""

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from evenkeel.tasks.embed.sampled import Positions
from evenkeel.tasks.ingest.pool import Block, Pool

Matrix = npt.NDArray[np.float32]


class Embedder(Protocol):
    """Turns rows of a block into raw vectors; small enough to send to a worker, the same on every worker."""

    def embed(self, pool: Pool, block: Block, positions: Positions | None = None) -> npt.NDArray[Any]:
        """Return the vectors of a block, or of the rows at `positions`: (rows, d) float32 (or the source's float16)."""

    def embed_texts(self, texts: pa.ChunkedArray) -> Matrix:
        """Return raw vectors of texts from elsewhere, (n, d) float32. Raises InputError where there is no way."""
