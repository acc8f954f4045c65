"""What a recipe may say about duplicates."""

from typing import Annotated, Literal

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, model_validator

MAX_HASHES = 144  # of a text, for `near`


class NearConfig(BaseModel):
    """Near-duplicates of texts: MinHash, locality-sensitive hashing, verified Jaccard similarity."""

    model_config = ConfigDict(extra="forbid", title="near")

    threshold: float = Field(
        0.7, ge=0.2, le=1, description="Jaccard similarity of shingles from which two texts are near-duplicates"
    )
    shingle: int = Field(3, ge=1, le=32, description="words per shingle; a shorter text is one shingle")
    recall: float = Field(
        0.95, ge=0.5, lt=1, description="probability that a pair exactly at the threshold is found; higher costs time"
    )
    groups: Literal["direct", "linked"] = Field(
        "direct",
        description="direct = a dropped row is itself that similar to its representative; linked = one row is kept of "
        "every connected component",
    )
    max_characters: int = Field(
        262_144,
        ge=1024,
        validation_alias=AliasChoices("max_characters", "longest"),
        description="characters of a text that are read; the rest is ignored",
    )
    seed: int = Field(0, ge=0, lt=2**63, description="chooses the hash functions")


class SemanticConfig(BaseModel):
    """Semantic duplicates: rows whose vectors point the same way (SemDeDup), and prototypes on top (D4)."""

    model_config = ConfigDict(extra="forbid", title="semantic")

    epsilon: float | None = Field(
        None,
        ge=0,
        lt=1,
        description="a row is dropped if its cosine with a kept row is at least 1 - epsilon; empty: 0.05, or by rate",
    )
    rate: float | None = Field(
        None, gt=0, lt=1, description="share of rows to drop; epsilon is then found for it, on a sample of cells"
    )
    keep: Literal["score", "closest", "furthest", "random"] = Field(
        "score",
        description="which row is kept: the best by dedup.best, the closest to or furthest from the centroid, or any",
    )
    clusters: int | None = Field(None, ge=1, description="cells to compare within; empty = root of the rows")
    passes: int = Field(
        2,
        ge=1,
        le=10,
        description="clusterings to compare within; another one finds pairs that a cell border had separated",
    )
    prototypes: float = Field(
        0.0, ge=0, lt=1, description="share of what is left to drop after that: the rows nearest their centroid (D4)"
    )
    seed: int = Field(0, ge=0, lt=2**63, description="the same seed and rows give the same clusters")

    @model_validator(mode="after")
    def _one_threshold(self) -> "SemanticConfig":
        if self.rate is not None and self.epsilon is not None:
            raise ValueError("give either epsilon or rate, not both")
        return self


class ExclusionList(BaseModel):
    """A list of what must not be in the dataset."""

    model_config = ConfigDict(extra="forbid")

    uri: str | list[str] = Field(
        description="files, folders or globs: Parquet (a published version's data too), JSONL, CSV, also .gz and .zst; "
        ".npy vectors, .txt with one item per line",
    )
    fingerprint: str = Field(
        "",
        validation_alias=AliasChoices("fingerprint", "stamp"),
        description="of the files as they were when the run began; filled in by the run",
    )


class IdList(ExclusionList):
    """Takedowns: excludes rows with one of these ids."""

    model_config = ConfigDict(extra="forbid", title="ids")

    by: Literal["ids"] = "ids"
    column: str = Field("id", description="the column with the ids; .txt has just one")


class TextList(ExclusionList):
    """Earlier versions, test sets: excludes rows whose text equals, or nearly equals, one of these."""

    model_config = ConfigDict(extra="forbid", title="texts")

    by: Literal["texts"] = "texts"
    column: str = Field("text", description="the column with the texts; .txt has just one")
    near: NearConfig | None = Field(
        default_factory=NearConfig, description="which texts are near-duplicates of one; null = only equal texts"
    )


class NgramList(ExclusionList):
    """Benchmarks: excludes rows that share word n-grams with one of these texts (decontamination as in GPT-3)."""

    model_config = ConfigDict(extra="forbid", title="ngrams")

    by: Literal["ngrams"] = "ngrams"
    column: str = Field("text", description="the column with the texts; .txt has just one")
    words: int = Field(13, ge=3, le=100, description="words of an n-gram; a shorter text of the list is one n-gram")
    min_words: int = Field(
        8,
        ge=3,
        le=100,
        validation_alias=AliasChoices("min_words", "shortest"),
        description="texts of the list with fewer words than this are ignored",
    )
    min_shared: int = Field(
        1,
        ge=1,
        validation_alias=AliasChoices("min_shared", "runs"),
        description="how many n-grams a row must share to be excluded",
    )


class VectorList(ExclusionList):
    """Benchmarks: excludes rows whose vector is similar to one of these (decontamination by embedding)."""

    model_config = ConfigDict(extra="forbid", title="vectors")

    by: Literal["vectors"] = "vectors"
    column: str = Field("vector", description="the column with vectors like the pool's; .npy holds nothing else")
    text: str | None = Field(None, description="column of texts to embed as the pool's were, instead of vectors")
    similarity: float = Field(0.95, gt=0, le=1, description="cosine from which a row is excluded")


def _tabs(schema: dict[str, object]) -> None:
    """Spell the union as `anyOf`, which forms render as tabs."""
    schema["anyOf"] = schema.pop("oneOf")
    schema.pop("discriminator", None)


Exclusion = Annotated[IdList | TextList | NgramList | VectorList, Field(discriminator="by", json_schema_extra=_tabs)]


class DedupConfig(BaseModel):
    """Which duplicates are dropped. One row of every group is kept: the best by score, then by hash of its id."""

    model_config = ConfigDict(extra="forbid")

    exclude: list[Exclusion] = Field(
        default_factory=list, description="lists whose rows must not be in the dataset: takedowns, benchmarks, versions"
    )
    zero_vectors: Literal["drop", "keep"] = Field(
        "drop",
        description="rows whose vector is zero, such as texts without a known word: drop = quarantine them; keep = one "
        "more point, which needs clustering.metric: euclidean",
    )
    exact: bool = Field(True, description="drop rows whose text (or vector, where there is no text) occurs already")
    near: NearConfig | None = Field(
        default_factory=NearConfig,
        description="drop rows whose text is a near-duplicate of another's; null = off. Needs texts",
    )
    semantic: SemanticConfig | None = Field(
        None, description="drop rows whose vector is similar to another's; null = off"
    )
    best: str | None = Field(
        None, description="score column (named in source.scores) whose highest row of a group is kept; empty = none"
    )
