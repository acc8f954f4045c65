"""Give every group value the same quota, by under-sampling; small values give all they have."""

from typing import Literal

from evenkeel.tasks.sample.draw_plan import DrawPlan
from evenkeel.tasks.sample.problem import SamplingProblem
from evenkeel.tasks.sample.strata.allocate import plan_over
from evenkeel.tasks.sample.strategy import GroupNames, Strategy


class Uniform(Strategy):
    """The same quota for every group value."""

    name: Literal["uniform"] = "uniform"
    groups: GroupNames

    def reads(self) -> tuple[str, ...]:
        """Return the group columns."""
        return tuple(f"group.{name}" for name in self.groups)

    def plan(self, problem: SamplingProblem) -> DrawPlan:
        """Return equal quotas over the strata."""
        return plan_over(problem, self.groups, lambda sizes: (sizes > 0).astype(float))
