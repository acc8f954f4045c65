"""The config of a source: where its shards lie, what their columns mean, and how many bad rows a run accepts."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from evenkeel.infra.registry import NameOf
from evenkeel.tasks.ingest.listing import ListedShard
from evenkeel.tasks.ingest.reader import READERS


class SourceConfig(BaseModel):
    """The `source` of a recipe; only `uri` is required."""

    model_config = ConfigDict(extra="forbid")

    uri: str | list[str] = Field(
        description="A file, a folder, a glob or a list of them, on this machine or any fsspec store (s3://, gs://, "
        "memory://); `docstrings://` is the Python environment this runs in, `digits://` a small pool of handwritten "
        "digits, `tumours://` a small table of measurements.",
        examples=["s3://bucket/pool/*.parquet"],
    )
    format: Annotated[str, NameOf(READERS, also=("auto",))] = Field(
        "auto", description="How the shards are written; `auto` goes by their suffix."
    )
    id: str | None = Field(
        None,
        description="Column with a row's own id. Default: `id` where every shard has it, else shard and row number.",
    )
    text: str | None = Field(None, description="Column with the text. Default: `text` where every shard has it.")
    vector: str | None = Field(
        None,
        description="Column with the vector. Default: the only column of float lists, where there is just one "
        "(`guess_vector`).",
    )
    guess_vector: bool = Field(
        True,
        description="Whether the only column of float lists is taken for the vector where `vector` names none. `plan` "
        "and `run` say so, and the column stays in the version. `false`: it is a column like any other.",
    )
    groups: list[str] = Field(
        default_factory=list, description="Columns whose balance is reported: language, domain, package, ..."
    )
    scores: list[str] = Field(
        default_factory=list, description="Columns of numbers that rank rows: quality, length, ..."
    )
    partitions: bool = Field(
        True,
        description="Whether folders named `key=value` give columns, as in `lang=en/part-0.parquet`. A column that a "
        "file has itself stays as it is.",
    )
    ids: str | list[str] | None = Field(
        None,
        description="With .npy shards: the files whose row i belongs to vector i. `.txt` and `.npy` hold ids alone; "
        "Parquet, JSONL and CSV give all their columns. One per shard, in the order of the shards' names.",
    )
    dimension: int | None = Field(
        None, ge=1, le=1 << 16, description="Length of every vector. Default: the commonest in the first rows."
    )
    max_quarantined: float = Field(
        0.01,
        ge=0,
        le=1,
        description="Share of rows (unreadable shards by their bytes) that may be refused; more fails the run. The "
        "gate `quarantine_rate` follows it, unless `gates` change it or the suite is strict.",
    )
    max_row_bytes: int = Field(
        1 << 20, ge=1, description="A row whose text and other columns take more bytes is refused."
    )
    rows_per_block: int = Field(
        65_536, ge=1, le=1 << 24, description="Most rows in a block: what one worker holds in memory at a time."
    )
    on_change: Literal["replace", "fail"] = Field(
        "replace",
        description="What a run does where a shard of the last version has changed or vanished: `replace` reads the "
        "changed one anew and lets the rows of the vanished one leave; `fail` stops and names them.",
    )

    @model_validator(mode="after")
    def _vector_is_a_column_of_its_own(self) -> "SourceConfig":
        others = {"id": self.id, "text": self.text, **{f"groups.{at}": name for at, name in enumerate(self.groups)}}
        others |= {f"scores.{at}": name for at, name in enumerate(self.scores)}
        for role, name in others.items():
            if name is not None and name == self.vector:
                raise ValueError(f"vector and {role} both name the column {name!r}: a vector is nothing else")
        return self

    @field_validator("uri")
    @classmethod
    def _some_place(cls, uri: str | list[str]) -> str | list[str]:
        if not uri or (isinstance(uri, list) and not all(uri)):
            raise ValueError("name at least one file, folder or glob")
        return uri


class IngestRequest(BaseModel):
    """The config of the ingest step: the recipe's source and the shards found, so that its key depends on both."""

    model_config = ConfigDict(extra="forbid")

    source: SourceConfig
    shards: list[ListedShard]
