"""The embedder `auto`: leaves the choice to the source."""

from typing import Literal

from pydantic import Field
from pydantic.config import ConfigDict

from evenkeel.tasks.embed.embedder import EMBEDDERS, Embedder, EmbeddingConfig


class AutoEmbedding(EmbeddingConfig):
    """The source's own vectors where it has them, else hashed n-grams of its texts; each with its defaults."""

    model_config = ConfigDict(extra="forbid", title="auto")

    method: Literal["auto"] = "auto"
    seed: int = Field(0, ge=0, lt=2**63, description="chooses the sample and starts the fit")

    def resolve(self, has_vectors: bool) -> Embedder:
        """Return `column` where the source has vectors, else `tfidf-svd`."""
        chosen = EMBEDDERS.get("column" if has_vectors else "tfidf-svd").model_validate({"seed": self.seed})
        return chosen.resolve(has_vectors)
