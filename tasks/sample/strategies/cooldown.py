"""A schedule of weights: a high temperature first, lower later.

Source: Cooldown (arXiv 2410.04579). The selection holds the mean of what the stages ask for; the facts hold the weights
of each stage, by group value (or leaf by leaf), so that a trainer can follow the schedule.
"""

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from evenkeel.expectations.measures import balance
from evenkeel.tasks.sample.plan import Candidates, Plan
from evenkeel.tasks.sample.quotas.strata import plan_over
from evenkeel.tasks.sample.strategies.temperature import tempered
from evenkeel.tasks.sample.strategy import Strategy

MOST_LISTED = 1000


class Cooldown(Strategy):
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

    def plan(self, candidates: Candidates) -> Plan:
        """Return quotas in proportion to the mean weights of all stages, and the weights of each stage as facts."""
        schedule: list[dict[str, Any]] = []

        def weigh(sizes: NDArray[np.int64]) -> NDArray[np.float64]:
            stages = [tempered(sizes, temperature) for temperature in self.temperatures]
            for number, (temperature, shares) in enumerate(zip(self.temperatures, stages, strict=True), start=1):
                stage: dict[str, Any] = {"stage": number, "temperature": temperature, **balance(shares, sizes > 0)}
                if len(shares) <= MOST_LISTED:
                    stage["weights"] = [round(float(share), 9) for share in shares]
                schedule.append(stage)
            mean: NDArray[np.float64] = np.mean(stages, axis=0)
            return mean

        made = plan_over(candidates, self.groups, weigh)
        for stage in schedule:
            if "quotas" in made.facts and "weights" in stage:
                stage["weights"] = dict(zip(made.facts["quotas"], stage["weights"], strict=True))
        made.facts["schedule"] = schedule
        return made
