"""The embedding section of a recipe, as a recipe and a step hold it."""

from typing import Annotated

from pydantic import BeforeValidator

from evenkeel.infra.registry import MemberOf
from evenkeel.tasks.embed.embedder import EMBEDDERS, EmbeddingConfig


def _default_method(value: object) -> object:
    return {"method": "auto", **value} if isinstance(value, dict) else value


AnyEmbedding = Annotated[EmbeddingConfig, MemberOf(EMBEDDERS), BeforeValidator(_default_method)]
