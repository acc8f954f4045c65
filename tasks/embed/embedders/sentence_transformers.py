"""The embedder `sentence-transformers`: runs a sentence encoder (arXiv 1908.10084; extra `text`).

On a GPU the model runs in half precision (untested on hardware); texts are sorted by length before they are batched.
"""

from functools import lru_cache
from threading import Lock
from typing import TYPE_CHECKING, Literal

import numpy as np
import pyarrow as pa
from pydantic import AliasChoices, ConfigDict, Field

from evenkeel.infra.compute import Backend
from evenkeel.infra.errors import InputError, ResourceError
from evenkeel.tasks.embed.embedder import Dtype, Matrix, Place, TextEmbedder

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

_ONE_AT_A_TIME = Lock()  # the model uses all cores itself


class SentenceEmbedding(TextEmbedder):
    """A sentence encoder by sentence-transformers (extra `text`)."""

    model_config = ConfigDict(extra="forbid", title="sentence-transformers")

    method: Literal["sentence-transformers"] = "sentence-transformers"
    model: str = Field(
        "sentence-transformers/all-MiniLM-L6-v2", min_length=1, description="a folder on this machine, or a hub name"
    )
    revision: str | None = Field(None, description="commit or tag of a hub model; name one to be repeatable")
    prompt: str = Field("", description="prefix of every text, for models that were trained with one")
    batch: int = Field(64, ge=1, le=65536, description="texts per forward pass")
    max_tokens: int | None = Field(
        None,
        ge=8,
        validation_alias=AliasChoices("max_tokens", "longest"),
        description="tokens of a text that are read; empty = the model's own limit",
    )
    normalise: bool = Field(True, description="scale every row to length 1; zero rows stay zero")
    dtype: Dtype | None = Field("float16", description="how vectors are stored; empty = float32")

    def embed_texts(self, texts: pa.ChunkedArray, place: Place) -> Matrix:
        """Return raw vectors, (rows, d) float32, d being the model's."""
        with _ONE_AT_A_TIME:
            vectors = self._loaded(place).encode(
                texts.to_pylist(),
                prompt=self.prompt or None,
                batch_size=self.batch,
                convert_to_numpy=True,
                show_progress_bar=False,
            )
        return np.asarray(vectors, np.float32)

    def raw_dimension(self, source: int | None, place: Place) -> int | None:
        """Return the length of the model's vectors."""
        found: int | None = self._loaded(place).get_sentence_embedding_dimension()
        return found

    def _loaded(self, place: Place) -> "SentenceTransformer":
        return _load(self.model, self.revision, self.max_tokens, place.backend)


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
