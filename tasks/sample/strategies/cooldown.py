"""Lower the sampling temperature from stage to stage of training.

Source: Cooldown (arXiv 2410.04579). The selection follows the mean weights of the stages; the facts hold the weights of
each stage, by group value (or leaf by leaf), so that a trainer can follow the schedule.
"""

from dataclasses import replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from evenkeel.expectations.measures import balance
from evenkeel.tasks.sample.draw_plan import DrawPlan
from evenkeel.tasks.sample.problem import SamplingProblem
from evenkeel.tasks.sample.strata.allocate import plan_over
from evenkeel.tasks.sample.strategies.temperature import tempered
from evenkeel.tasks.sample.strategy import Strategy

MAX_LISTED = 1000


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

    def reads(self) -> tuple[str, ...]:
        """Return the group columns."""
        return tuple(f"group.{name}" for name in self.groups)

    def plan(self, problem: SamplingProblem) -> DrawPlan:
        """Return quotas in proportion to the mean weights of all stages, and the weights of each stage as facts."""
        sizes: list[NDArray[np.int64]] = []

        def mean_weights(cells: NDArray[np.int64]) -> NDArray[np.float64]:
            sizes.append(cells)
            mean: NDArray[np.float64] = np.mean([tempered(cells, one) for one in self.temperatures], axis=0)
            return mean

        plan = plan_over(problem, self.groups, mean_weights)
        quotas = plan.facts.get("quotas")
        schedule = self._schedule(sizes[0], list(quotas) if isinstance(quotas, dict) else None)
        return replace(plan, facts={**plan.facts, "schedule": schedule})

    def _schedule(self, sizes: NDArray[np.int64], names: list[str] | None) -> list[dict[str, object]]:
        """Return number, temperature, balance and weights of each stage, the weights by name where cells have one."""
        schedule: list[dict[str, object]] = []
        for number, temperature in enumerate(self.temperatures, start=1):
            shares = tempered(sizes, temperature)
            stage: dict[str, object] = {"stage": number, "temperature": temperature, **balance(shares, sizes > 0)}
            if len(shares) <= MAX_LISTED:
                weights = [round(float(share), 9) for share in shares]
                stage["weights"] = weights if names is None else dict(zip(names, weights, strict=True))
            schedule.append(stage)
        return schedule
