"""The parameters of QuaDMix that a domain may have of its own."""

from pydantic import BaseModel, ConfigDict, Field


class QualityDomain(BaseModel):
    """What a domain sets for itself; what it leaves out is as for all."""

    model_config = ConfigDict(extra="forbid", title="parameters")

    scores: dict[str, float] | None = Field(
        None, description="score columns and their weights, below 0 = lower is better"
    )
    sharpness: float | None = Field(None, gt=0, le=1e4, description="steepness of the sigmoid (lambda)")
    omega: float | None = Field(None, gt=0, le=1, description="rank beyond which rows are rarely kept")
    eta: float | None = Field(None, gt=0, le=10, description="exponent of the sigmoid")
    epsilon: float | None = Field(None, ge=0, le=1, description="copies of a row beyond omega")
