"""Settings of the measure step."""

from pydantic import BaseModel, ConfigDict, Field

from evenkeel.tasks.dedup.target_set import TargetSet


class MeasureConfig(BaseModel):
    """How a selection is measured."""

    model_config = ConfigDict(extra="forbid")

    sketch_rows: int = Field(
        1 << 20, ge=1024, le=1 << 26, description="Rows compared with the last version; churn is exact up to this many."
    )
    joint: list[tuple[str, str]] = Field(
        default_factory=list, description="Columns counted inside others for gates: group.style in tags.concepts."
    )
    target: TargetSet | None = Field(None, description="Rows that distances are measured to, where a gate asks.")
