"""Give every leaf the same quota.

Source: the allocation step of Vo et al. 2024 (arXiv 2405.15613), applied once to the resampled leaves. Uniform over
clusters, uniform inside: also the rule of ClusterClip (arXiv 2402.14526) where `max_repeats` caps the repeats.
"""

from typing import ClassVar, Literal

from evenkeel.expectations.goals import Goal
from evenkeel.tasks.sample.draw_plan import DrawPlan
from evenkeel.tasks.sample.problem import SamplingProblem
from evenkeel.tasks.sample.strategy import Strategy


class Flat(Strategy):
    """Give every leaf the same quota; small leaves give all they have."""

    goal: ClassVar[Goal] = "balance"

    name: Literal["flat"] = "flat"

    def plan(self, problem: SamplingProblem) -> DrawPlan:
        """Return equal quotas over the leaves; small leaves give all they have."""
        return DrawPlan(problem.fill(), problem.tree.sizes)
