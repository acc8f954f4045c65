"""The embedder `sentence-transformers`: runs a sentence encoder (arXiv 1908.10084; extra `text`).

On a GPU the model runs in half precision (untested on hardware); texts are sorted by length before they are batched.
"""

from dataclasses import dataclass
from functools import lru_cache
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from evenkeel.infra.compute import Backend
from evenkeel.infra.errors import InputError, ResourceError
from evenkeel.tasks.embed.config import SentenceEmbedding
from evenkeel.tasks.embed.embedder import Matrix
from evenkeel.tasks.embed.fit_sample import Positions
from evenkeel.tasks.ingest.pool import Block, Pool

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

_ONE_AT_A_TIME = Lock()  # the model uses all cores itself


@dataclass(frozen=True)
class Sentences:
    """Encodes texts with a model that every worker loads once."""

    config: SentenceEmbedding
    backend: Backend

    def embed(self, pool: Pool, block: Block, positions: Positions | None = None) -> Matrix:
        """Return raw vectors of a block, or of the rows at `positions`: (rows, d) float32."""
        texts = pool.text(block)
        return self.embed_texts(texts if positions is None else texts.take(pa.array(positions)))

    def dimension(self, source: int | None) -> int | None:
        """Return the length of the model's vectors."""
        found: int | None = self._model().get_sentence_embedding_dimension()
        return found

    def embed_texts(self, texts: pa.ChunkedArray) -> Matrix:
        """Return raw vectors, (rows, d) float32, d being the model's."""
        with _ONE_AT_A_TIME:
            vectors = self._model().encode(
                texts.to_pylist(),
                prompt=self.config.prompt or None,
                batch_size=self.config.batch,
                convert_to_numpy=True,
                show_progress_bar=False,
            )
        return np.asarray(vectors, np.float32)

    def _model(self) -> "SentenceTransformer":
        return _load(self.config.model, self.config.revision, self.config.max_tokens, self.backend)


@lru_cache(maxsize=1)
def _load(name: str, revision: str | None, max_tokens: int | None, backend: Backend) -> "SentenceTransformer":
    try:
        from sentence_transformers import SentenceTransformer
    except ImportError as error:
        raise ResourceError(
            "embedding.method sentence-transformers needs the extra `text`",
            where="embedding.method",
            remedy="pip install 'evenkeel[text]', or leave embedding.method at auto",
        ) from error
    try:
        model = SentenceTransformer(
            name, revision=revision, device="cuda" if backend == "gpu" else "cpu", trust_remote_code=False
        )
    except (OSError, ValueError) as error:
        raise InputError(
            f"there is no sentence encoder at {name!r}",
            expected="a folder with a model, or the name of one on the hub (and a way to reach it)",
            found=str(error).splitlines()[0],
            where="embedding.model",
        ) from error
    if max_tokens is not None:
        model.max_seq_length = max_tokens
    return model.half() if backend == "gpu" else model
