"""Give every leaf the same quota, and repeat the rows of small leaves at most `clip` times.

Source: ClusterClip (arXiv 2402.14526): a leaf of n rows is repeated min(B / (K n), clip) times, the rest is
water-filled.
"""

from dataclasses import replace
from typing import ClassVar, Literal

from pydantic import Field

from evenkeel.expectations.goals import Goal
from evenkeel.tasks.sample.draw_plan import DrawPlan
from evenkeel.tasks.sample.problem import SamplingProblem
from evenkeel.tasks.sample.strategy import Strategy


class ClusterClip(Strategy):
    """Give every leaf the same quota and repeat the rows of small leaves up to a clip."""

    goal: ClassVar[Goal] = "balance"

    name: Literal["cluster-clip"] = "cluster-clip"
    clip: int = Field(5, ge=1, le=1000, description="Copies of one row at most.")

    def max_copies(self) -> int:
        """Return the clip."""
        return self.clip

    def plan(self, problem: SamplingProblem) -> DrawPlan:
        """Return equal quotas over the leaves, each at most clip times its size."""
        sizes = problem.tree.sizes
        limits = replace(problem.limits, max_repeats=self.clip)
        return DrawPlan(replace(problem, limits=limits).fill(), sizes)
