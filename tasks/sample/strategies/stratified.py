"""Let strata keep their share of the pool, and give every leaf inside a stratum the same quota.

Proportional allocation over strata (Neyman 1934) with cluster balance (Vo et al. 2024) inside: one split of a tree of
two levels, strata above and their leaves below.
"""

from typing import Literal

import numpy as np

from evenkeel.tasks.sample.draw_plan import DrawPlan
from evenkeel.tasks.sample.problem import SamplingProblem
from evenkeel.tasks.sample.quotas.allocation import split
from evenkeel.tasks.sample.quotas.tree import ClusterTree
from evenkeel.tasks.sample.strata.count import cross_strata
from evenkeel.tasks.sample.strategy import GroupNames, Strategy


class Stratified(Strategy):
    """Keep the proportions of the group values; inside each, equal quotas over the leaves."""

    name: Literal["stratified"] = "stratified"
    groups: GroupNames

    def reads(self) -> tuple[str, ...]:
        """Return the group columns."""
        return tuple(f"group.{name}" for name in self.groups)

    def plan(self, problem: SamplingProblem) -> DrawPlan:
        """Return quotas over the pairs of stratum and leaf."""
        strata = cross_strata(problem.rows, self.groups, problem.compute)
        tree = ClusterTree(strata.counts, (strata.strata.astype(np.int32),))
        allocation = split(
            tree,
            strata.counts * problem.limits.max_repeats,
            problem.target,
            weights=[None, strata.by_value.sizes.astype(float)],
            seed=problem.seed,
        )
        return DrawPlan(allocation, strata.counts, cells_of=strata.pair_of, columns=strata.by_value.columns)
