"""Allocate between proportional and uniform, by size^(1 / temperature).

Source: the temperature sampling of multilingual pre-training (Devlin et al. 2019; Conneau et al. 2019).
"""

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from evenkeel.tasks.sample.draw_plan import DrawPlan
from evenkeel.tasks.sample.problem import SamplingProblem
from evenkeel.tasks.sample.strata.allocate import plan_over
from evenkeel.tasks.sample.strategy import Strategy


class Temperature(Strategy):
    """Weight leaves or group values by size^(1 / temperature)."""

    name: Literal["temperature"] = "temperature"
    temperature: float = Field(2.0, ge=1, le=1e6, description="1 = proportional to size; large = uniform.")
    groups: list[str] = Field(default_factory=list, description="Group columns to weigh; empty = the leaves.")

    def reads(self) -> tuple[str, ...]:
        """Return the group columns."""
        return tuple(f"group.{name}" for name in self.groups)

    def plan(self, problem: SamplingProblem) -> DrawPlan:
        """Return quotas in proportion to size^(1 / temperature) of the leaves or group values."""
        return plan_over(problem, self.groups, lambda sizes: tempered(sizes, self.temperature))


def tempered(sizes: NDArray[np.int64], temperature: float) -> NDArray[np.float64]:
    """Return size^(1 / temperature) as shares of 1, (n,) float64; empty cells get none."""
    weights = np.where(sizes > 0, np.maximum(sizes, 1) ** (1.0 / temperature), 0.0)
    shares: NDArray[np.float64] = weights / max(1.0, weights.sum())
    return shares
