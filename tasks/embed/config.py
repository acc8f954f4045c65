"""The embedding section of a recipe: one method, and how its vectors are post-processed."""

from typing import Annotated, Literal

from pydantic import AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.config import JsonDict

Dtype = Literal["float16", "float32"]


class PostSteps(BaseModel):
    """How raw embeddings are post-processed, in this order: centre, project, whiten, normalise, store."""

    model_config = ConfigDict(extra="forbid")

    center: bool = Field(False, description="subtract the mean of a sample")
    components: int | None = Field(
        None, ge=1, le=65536, description="keep this many principal components of a sample; empty = all dimensions"
    )
    whiten: bool = Field(False, description="scale the principal components to unit variance")
    normalise: bool = Field(False, description="scale every row to length 1; zero rows stay zero")
    dtype: Dtype | None = Field(None, description="how vectors are stored; empty = as they come")
    sample: int = Field(20_000, ge=10, le=10_000_000, description="rows that the mean and the components are fitted on")
    seed: int = Field(0, ge=0, lt=2**63, description="chooses the sample and starts the fit")
    fitted: str | None = Field(
        None,
        description="folder of an earlier embedding whose fitted map is used instead of fitting a new one, so that old "
        "and new shards are comparable",
    )


class AutoEmbedding(BaseModel):
    """The source's own vectors where it has them, else hashed n-grams of its texts; each with its defaults."""

    model_config = ConfigDict(extra="forbid", title="auto")

    method: Literal["auto"] = "auto"
    seed: int = Field(0, ge=0, lt=2**63, description="chooses the sample and starts the fit")


class ColumnEmbedding(PostSteps):
    """The source's own vectors (`source.vector`), unchanged unless post-processing is asked for."""

    model_config = ConfigDict(extra="forbid", title="column")

    method: Literal["column"] = "column"


class TfidfSvdEmbedding(PostSteps):
    """Hashed word and character n-grams, tf-idf weights, truncated SVD; fast, no model, no GPU."""

    model_config = ConfigDict(extra="forbid", title="tfidf-svd")

    method: Literal["tfidf-svd"] = "tfidf-svd"
    dimension: int = Field(128, ge=2, le=4096, description="length of the vectors")
    buckets: int = Field(1 << 18, ge=1 << 8, le=1 << 26, description="hash buckets that n-grams fall into")
    char_ngrams: bool = Field(
        True,
        validation_alias=AliasChoices("char_ngrams", "characters"),
        description="hash character 4-grams in addition to word unigrams and bigrams; without them embedding takes "
        "three fifths of the time",
    )
    max_characters: int = Field(
        32_768,
        ge=64,
        validation_alias=AliasChoices("max_characters", "longest"),
        description="characters of a text that are read; the rest is ignored",
    )
    normalise: bool = Field(True, description="scale every row to length 1; zero rows stay zero")
    dtype: Dtype | None = Field("float16", description="how vectors are stored; empty = float32")


class SentenceEmbedding(PostSteps):
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


class ImageEmbedding(PostSteps):
    """An image encoder of timm or open_clip (extra `image`)."""

    model_config = ConfigDict(extra="forbid", title="image")

    method: Literal["image"] = "image"
    model: str = Field(
        min_length=1, description="a folder on this machine, as timm or open_clip saves a model, weights as safetensors"
    )
    column: str = Field("image", min_length=1, description="column with the images: bytes, paths, or {bytes, path}")
    root: str | None = Field(
        None, description="folder or URI that all paths of the column lie below; nothing else is read. Needed for paths"
    )
    batch: int = Field(64, ge=1, le=1024, description="images per forward pass")
    max_pixels: int = Field(
        100_000_000,
        ge=1,
        le=2**31,
        validation_alias=AliasChoices("max_pixels", "most_pixels"),
        description="an image with more pixels is not decoded and counts as unreadable",
    )
    max_unreadable: float = Field(
        0.01, ge=0, le=1, description="share of rows whose image may be unreadable; more fails the run"
    )
    normalise: bool = Field(True, description="scale every row to length 1; zero rows stay zero")
    dtype: Dtype | None = Field("float16", description="how vectors are stored; empty = float32")


def _default_method(value: object) -> object:
    return {"method": "auto", **value} if isinstance(value, dict) else value


def _tabs(schema: JsonDict) -> None:
    """Spell the union as `anyOf`, which forms render as tabs."""
    schema["anyOf"] = schema.pop("oneOf")
    schema.pop("discriminator", None)


EmbeddingConfig = Annotated[
    Annotated[
        AutoEmbedding | ColumnEmbedding | TfidfSvdEmbedding | SentenceEmbedding | ImageEmbedding,
        Field(discriminator="method", json_schema_extra=_tabs),
    ],
    BeforeValidator(_default_method),
]
