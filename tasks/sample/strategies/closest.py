"""Give every leaf the same quota, and take the rows nearest to its centroid first.

Source: the "closest" variant of Vo et al. 2024 (arXiv 2405.15613); less diverse than a random draw inside the leaf.
"""

from typing import ClassVar, Literal

from evenkeel.expectations.goals import Goal
from evenkeel.tasks.sample.draw_plan import DrawPlan
from evenkeel.tasks.sample.problem import SamplingProblem
from evenkeel.tasks.sample.strategy import CAP, FLOOR, Strategy


class Closest(Strategy):
    """Equal quotas over the leaves, the rows nearest to the centroid first."""

    obeys: ClassVar[frozenset[str]] = frozenset({FLOOR, CAP})
    goal: ClassVar[Goal] = "balance"

    name: Literal["closest"] = "closest"

    def plan(self, problem: SamplingProblem) -> DrawPlan:
        """Return equal quotas over the leaves, to be drawn from the centroid outwards."""
        return DrawPlan(problem.fill(), problem.tree.sizes, order="closest")
