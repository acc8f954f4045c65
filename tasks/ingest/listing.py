"""A shard as the store lists it."""

from pydantic import BaseModel, ConfigDict, Field


class ListedShard(BaseModel):
    """One shard as the store listed it when the run began; `fingerprint` is its ETag, checksum or time of change."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    uri: str
    name: str = Field(description="Path below the source's fixed part: what ids of rows without an id are made of.")
    format: str = Field(description="The name of its reader.")
    bytes: int
    fingerprint: str
    ids: str | None = Field(None, description="The file with the ids (or all other columns) of an .npy shard.")
    ids_fingerprint: str = ""
    partition: dict[str, str | None] = Field({}, description="Columns that folders named `key=value` give.")
    number: int = Field(0, ge=0, lt=1 << 24, description="What its row ids begin with; kept while the dataset lives.")
