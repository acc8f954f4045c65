"""Settings of the measure step."""

from collections.abc import Iterable

from pydantic import BaseModel, ConfigDict, Field

from evenkeel.expectations.concerns.signals import SignalBound
from evenkeel.expectations.expectation import Expectation
from evenkeel.tasks.dedup.target_set import TargetSet
from evenkeel.tasks.properties.config import ProfileConfig


class SignalCount(BaseModel):
    """What is counted of a signal or score for a gate: by which group column, and beyond which limit."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    by: str = ""
    below: float | None = None
    above: float | None = None


class MeasureConfig(BaseModel):
    """How a selection is measured."""

    model_config = ConfigDict(extra="forbid")

    sketch_rows: int = Field(
        1 << 20, ge=1024, le=1 << 26, description="Rows compared with the last version; churn is exact up to this many."
    )
    joint: list[tuple[str, str]] = Field(
        default_factory=list, description="Columns counted inside others for gates: group.style in tags.concepts."
    )
    signals: list[SignalCount] = Field(
        default_factory=list, description="Signals and scores that are counted by group and limit, where a gate asks."
    )
    made: int | None = Field(None, description="Rows that annotations made; null = the recipe makes none.")
    columns: ProfileConfig | None = Field(None, description="What is found out about the columns; null = nothing.")
    target: TargetSet | None = Field(None, description="Rows that distances are measured to.")
    distances: list[tuple[str, str]] = Field(
        default_factory=list, description="Distances that gates are on, to and by: their noise is measured well."
    )


def signals_counted(expectations: Iterable[Expectation]) -> list[SignalCount]:
    """Return what the gates on signals ask for, each once."""
    asked = (one for one in expectations if isinstance(one, SignalBound))
    return [*dict.fromkeys(SignalCount(name=one.name, by=one.by, below=one.below, above=one.above) for one in asked)]
