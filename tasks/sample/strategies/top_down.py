"""Split the target equally at the top of the hierarchy, and again inside every cluster.

Source: Vo et al. 2024 (arXiv 2405.15613). It can be less balanced than random where upper levels group dissimilar
leaves; kept for comparison.
"""

from typing import Literal

from evenkeel.tasks.sample.draw_plan import DrawPlan
from evenkeel.tasks.sample.problem import SamplingProblem
from evenkeel.tasks.sample.strategy import Strategy


class TopDown(Strategy):
    """Split the target equally over the top clusters, and again inside each (Vo et al. 2024)."""

    name: Literal["top-down"] = "top-down"

    def plan(self, problem: SamplingProblem) -> DrawPlan:
        """Return quotas from splitting the target equally, level by level."""
        return DrawPlan(problem.descend(), problem.tree.sizes)
