"""The strategies a recipe can name, and the options of each."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

GroupNames = Annotated[
    list[str], Field(min_length=1, description="Group columns; each combination of values is a stratum.")
]


class _Options(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Balanced(_Options):
    """Measure many rules on structure they did not make and take the most balanced; never worse than random."""

    name: Literal["balanced"] = "balanced"
    probe_rows: int = Field(8192, ge=64, le=32768, description="Rows on which the rules are measured.")
    rule: str = Field("", description="What an earlier run chose, to take without measuring; empty = measure.")


class TopDown(_Options):
    """Split the target equally over the top clusters, and again inside each (Vo et al. 2024)."""

    name: Literal["top-down"] = "top-down"


class Flat(_Options):
    """Give every leaf the same quota; small leaves give all they have."""

    name: Literal["flat"] = "flat"


class ClusterClip(_Options):
    """Give every leaf the same quota and repeat the rows of small leaves up to a clip."""

    name: Literal["cluster-clip"] = "cluster-clip"
    clip: int = Field(5, ge=1, le=1000, description="Most copies of one row.")


class Temperature(_Options):
    """Weigh leaves or group values by size^(1 / temperature)."""

    name: Literal["temperature"] = "temperature"
    temperature: float = Field(2.0, ge=1, le=1e6, description="1 = proportional to size; large = uniform.")
    groups: list[str] = Field(default_factory=list, description="Group columns to weigh; empty = the leaves.")


class Cooldown(_Options):
    """Lower the temperature from stage to stage; the selection holds what all stages need together."""

    name: Literal["cooldown"] = "cooldown"
    temperatures: list[float] = Field(
        default=[5.0, 2.0, 1.0], min_length=1, description="Temperature of each stage of training, in order."
    )
    groups: list[str] = Field(default_factory=list, description="Group columns to weigh; empty = the leaves.")

    @model_validator(mode="after")
    def _at_least_one(self) -> "Cooldown":
        if any(not 1 <= temperature <= 1e6 for temperature in self.temperatures):
            raise ValueError("temperatures lie between 1 (proportional) and 1e6 (uniform)")
        return self


class Density(_Options):
    """Chance in inverse proportion to the density of rows, estimated by a mergeable hash sketch."""

    name: Literal["density"] = "density"
    hashes: int = Field(128, ge=8, le=2000, description="Hash functions of the sketch.")
    buckets: int = Field(16384, ge=64, le=1 << 20, description="Counters per hash function.")
    width: float = Field(
        0.0, ge=0, description="Width of a hash bucket in the units of the vectors; 0 = the median radius of a leaf."
    )


class Grid(_Options):
    """Project the vectors to a plane, lay a grid over it, and give every occupied cell the same quota."""

    name: Literal["grid"] = "grid"
    side: int = Field(100, ge=2, le=4096, description="Cells along each side of the grid.")


class Uniform(_Options):
    """The same quota for every group value."""

    name: Literal["uniform"] = "uniform"
    groups: GroupNames


class Proportional(_Options):
    """Quotas in exact proportion to the size of every group value."""

    name: Literal["proportional"] = "proportional"
    groups: GroupNames


class Stratified(_Options):
    """Keep the proportions of the group values; inside each, equal quotas over the leaves."""

    name: Literal["stratified"] = "stratified"
    groups: GroupNames


class Subclass(_Options):
    """Cut large group values into sub-classes about the size of the smallest value; the same quota for each."""

    name: Literal["subclass"] = "subclass"
    group: str = Field(min_length=1, description="The group column that holds the class.")
    least: int = Field(10, ge=1, description="Rows that a sub-class holds at least.")


class Metaclip(_Options):
    """Keep rows by how rare the concepts in their text are."""

    name: Literal["metaclip"] = "metaclip"
    concepts: list[str] = Field(min_length=1, description="Strings to look for in the text, in any case.")
    tail_share: float = Field(
        0.2, gt=0, lt=1, description="Share of all matches that concepts below the cap make up; it sets the cap."
    )


class Quality(_Options):
    """Chance by score columns, blended with the diversity of the clusters."""

    name: Literal["quality"] = "quality"
    rule: Literal["quadmix", "samplemix", "kmq"] = Field(
        "quadmix",
        description="quadmix: sigmoid of the rank; samplemix: diversity + quality; kmq: softmax in each leaf.",
    )
    scores: dict[str, float] = Field(min_length=1, description="Score columns and their weights, higher is better.")
    sharpness: float = Field(20.0, gt=0, le=1e4, description="quadmix: steepness (lambda). kmq: inverse temperature.")
    omega: float = Field(0.3, gt=0, le=1, description="quadmix: rank (0 = best) beyond which rows are rarely kept.")
    eta: float = Field(1.0, gt=0, le=10, description="quadmix: exponent of the sigmoid.")
    epsilon: float = Field(0.001, ge=0, le=1, description="quadmix: chance of a row beyond omega.")
    diversity: float = Field(0.8, ge=0, le=1, description="samplemix: weight of diversity; the rest is quality.")

    @model_validator(mode="after")
    def _usable(self) -> "Quality":
        if any(weight < 0 for weight in self.scores.values()) or not any(self.scores.values()):
            raise ValueError("the weights of scores are >= 0 and not all zero")
        return self


class Closest(_Options):
    """Equal quotas over the leaves, the rows nearest to the centroid first."""

    name: Literal["closest"] = "closest"


class Random(_Options):
    """Give every row the same chance."""

    name: Literal["random"] = "random"


Strategy = (
    Balanced
    | TopDown
    | Flat
    | ClusterClip
    | Temperature
    | Cooldown
    | Density
    | Grid
    | Uniform
    | Proportional
    | Stratified
    | Subclass
    | Metaclip
    | Quality
    | Closest
    | Random
)
