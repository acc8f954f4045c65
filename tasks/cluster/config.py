"""What a recipe may say about clustering."""

from itertools import pairwise
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Level = Annotated[int, Field(ge=1)]


class Protect(BaseModel):
    """A group whose values every cluster above the leaves should hold in about the shares of the pool."""

    model_config = ConfigDict(extra="forbid", title="protect")

    group: str = Field(description="name of a group column (source.groups)", min_length=1)
    within: float = Field(0.1, gt=0, lt=1, description="how far a share may be from that of the pool")


class ClusteringConfig(BaseModel):
    """Hierarchical k-means with resampling (Vo et al. 2024, arXiv 2405.15613)."""

    model_config = ConfigDict(extra="forbid")

    levels: Annotated[list[Level], Field(min_length=1, max_length=8)] | Literal["auto"] | None = Field(
        None,
        description="clusters per level, finest first, as [3000, 300, 30]; empty = derived from the number of rows; "
        "auto = levels above the first where merges of clusters begin to cost twice as much, else as empty",
    )
    upper: Literal["auto", "ward", "k-means", "spherical"] = Field(
        "auto",
        description="how levels above the first are made: ward = Ward linkage; spherical = k-means on directions from "
        "the mean row; auto = Ward, moved towards directions where that costs little inertia; k-means = as published, "
        "with resampling",
    )
    resampling: int = Field(
        5,
        ge=0,
        le=100,
        description="rounds per level that refit on only the rows nearest their centroid, which evens out density",
    )
    resampling_share: float = Field(
        0.5, gt=0, lt=1, description="rows that a round keeps of each cluster, as a share of the mean cluster size"
    )
    iterations: int = Field(12, ge=1, le=1000, description="most Lloyd iterations of one k-means")
    tolerance: float = Field(
        3e-4, ge=0, lt=1, description="stop when an iteration lowers the inertia by less than this share"
    )
    precision: Literal["fast", "exact"] = Field(
        "fast", description="fast = neighbour-pruned Lloyd; exact = every row against every centroid"
    )
    metric: Literal["euclidean", "cosine"] = Field(
        "euclidean", description="cosine = spherical k-means on rows scaled to length 1"
    )
    max_share: float | None = Field(
        None, gt=0, le=1, description="largest share of the rows that one leaf cluster may hold; empty = no bound"
    )
    size_penalty: float = Field(
        0.0,
        ge=0,
        le=1000,
        description="evens out the leaves: a row joins the least squared distance + penalty x rows of the leaf, in "
        "units of the mean squared distance and of the mean leaf; 0 = the nearest centroid",
    )
    sibling_ratio: float | None = Field(
        None,
        ge=2,
        description="repair the finished tree until no parent has more than this many times the mean number of "
        "children; empty = leave it",
    )
    mass_ratio: float | None = Field(
        None,
        ge=1.1,
        description="most rows of a cluster above the leaves as a multiple of the fewest at its level, kept by moving, "
        "merging and splitting; empty = leave it",
    )
    protect: Protect | None = Field(
        None, description="a group whose shares every cluster above the leaves keeps, by moving leaves; empty = none"
    )
    seed: int = Field(0, ge=0, lt=2**63, description="the same seed and rows give the same clusters")
    memory_gib: float = Field(
        2.0,
        gt=0,
        description="memory that one k-means may take: its rows as read and as copied, their lists and distances; "
        "larger pools are split into groups that fit",
    )

    @model_validator(mode="after")
    def _levels_shrink(self) -> "ClusteringConfig":
        levels = list(self.levels or []) if self.levels != "auto" else []
        if self.levels == "auto" and self.upper not in ("auto", "ward"):
            raise ValueError(
                f"levels: auto goes by the merges of Ward linkage: it needs upper: auto or ward, not {self.upper}"
            )
        if any(upper >= lower for lower, upper in pairwise(levels)):
            raise ValueError(
                f"levels must shrink from the finest to the coarsest, found {levels}; "
                "write the largest number of clusters first"
            )
        if self.size_penalty and self.metric == "cosine":
            raise ValueError("size_penalty measures squared distances: it needs metric: euclidean")
        return self


class ReusableClustering(ClusteringConfig):
    """How to cluster, and when the clusters of the last version do for new rows as well."""

    reuse: Literal["auto", "never"] = Field(
        "auto",
        description="auto = rows of new shards join the clusters of the last version until they have drifted; never = "
        "cluster anew whenever a row changes",
    )
    drift_limit: float = Field(
        0.25,
        ge=0,
        description="most drift before the pool is clustered anew: the larger of the share of new rows out of reach of "
        "their cluster, and the population stability index of the clusters' sizes",
    )

    def fitting(self) -> ClusteringConfig:
        """Return the part that the clusters themselves depend on."""
        return ClusteringConfig(**{name: getattr(self, name) for name in ClusteringConfig.model_fields})


class AssignConfig(BaseModel):
    """How new rows are assigned to finished clusters."""

    model_config = ConfigDict(extra="forbid")

    metric: Literal["euclidean", "cosine"] = "euclidean"
