"""Draw every row with the same probability: the baseline."""

from typing import Literal

from evenkeel.tasks.sample.draw_plan import DrawPlan, one_cell_plan
from evenkeel.tasks.sample.problem import SamplingProblem
from evenkeel.tasks.sample.strategy import Strategy


class Random(Strategy):
    """Give every row the same probability."""

    name: Literal["random"] = "random"

    def plan(self, problem: SamplingProblem) -> DrawPlan:
        """Return one cell that holds every row; with limits on leaves, quotas in proportion to their sizes."""
        if problem.limits.floor or problem.limits.cap is not None:
            return DrawPlan(problem.fill(problem.tree.sizes.astype(float)), problem.tree.sizes)
        return one_cell_plan(problem, problem.tree.rows)
