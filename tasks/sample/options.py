"""The strategies a recipe can name, and the options of each."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class _Options(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Balanced(_Options):
    """Measure several rules on structure they did not see and take the most balanced; never worse than random."""

    name: Literal["balanced"] = "balanced"
    probe_rows: int = Field(8192, ge=64, le=32768, description="Rows on which the rules are measured.")
    rule: str = Field("", description="A candidate rule to take without measuring; empty = measure and choose.")


class TopDown(_Options):
    """Split the target equally over the top clusters, and again inside each (Vo et al. 2024)."""

    name: Literal["top-down"] = "top-down"


class Flat(_Options):
    """Give every leaf the same quota; small leaves give all they have."""

    name: Literal["flat"] = "flat"


class Random(_Options):
    """Give every row the same chance."""

    name: Literal["random"] = "random"


Strategy = Balanced | TopDown | Flat | Random
