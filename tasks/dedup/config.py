"""What a recipe may say about duplicates."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class NearConfig(BaseModel):
    """Near duplicates of texts: MinHash, locality-sensitive hashing, verified Jaccard similarity."""

    model_config = ConfigDict(extra="forbid", title="near")

    threshold: float = Field(
        0.7, ge=0.2, le=1, description="share of shingles in common (Jaccard) that makes two texts one"
    )
    shingle: int = Field(3, ge=1, le=32, description="words per shingle; a shorter text is one shingle")
    recall: float = Field(
        0.95, ge=0.5, lt=1, description="wanted chance that a pair right at the threshold is found; higher costs time"
    )
    groups: Literal["direct", "linked"] = Field(
        "direct",
        description="direct = a dropped row is itself that similar to the row that stands for it; linked = chains "
        "count: one row stands for a whole connected component",
    )
    longest: int = Field(262_144, ge=1024, description="characters of a text that are read; the rest is ignored")
    seed: int = Field(0, ge=0, lt=2**63, description="chooses the hash functions")


class DedupConfig(BaseModel):
    """Which rows stand for one another. Of every group one row is kept: the best by score, then by hash of its id."""

    model_config = ConfigDict(extra="forbid")

    exact: bool = Field(True, description="drop rows whose text (or vector, where there is no text) occurs already")
    near: NearConfig | None = Field(
        default_factory=NearConfig, description="drop rows whose text is nearly another's; null = off. Needs texts"
    )
    best: str | None = Field(
        None, description="score column (named in source.scores) whose highest row of a group is kept; empty = none"
    )
