"""What the step `tag-counts` counts."""

from pydantic import BaseModel, ConfigDict, Field


class TagCountsConfig(BaseModel):
    """The signals whose tags are counted among the rows that deduplication left."""

    model_config = ConfigDict(extra="forbid")

    over: list[str] = Field(min_length=1, description="Signals that are tags.")
