"""Allocate in proportion: every stratum keeps its share of the pool (Neyman 1934)."""

from typing import Literal

from evenkeel.tasks.sample.draw_plan import DrawPlan
from evenkeel.tasks.sample.problem import SamplingProblem
from evenkeel.tasks.sample.strata.allocate import plan_over
from evenkeel.tasks.sample.strategy import GroupNames, Strategy


class Proportional(Strategy):
    """Quotas in exact proportion to the size of every group value."""

    name: Literal["proportional"] = "proportional"
    groups: GroupNames

    def reads(self) -> tuple[str, ...]:
        """Return the group columns."""
        return tuple(f"group.{name}" for name in self.groups)

    def plan(self, problem: SamplingProblem) -> DrawPlan:
        """Return quotas in proportion to the size of the strata."""
        return plan_over(problem, self.groups, lambda sizes: sizes.astype(float))
