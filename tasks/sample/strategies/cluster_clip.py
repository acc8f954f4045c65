"""Uniform over leaves, uniform inside, rows of small leaves repeated at most `clip` times.

Source: ClusterClip (arXiv 2402.14526): a leaf of n rows is repeated min(B / (K n), clip) times, the rest is
water-filled.
"""

from typing import Literal

from pydantic import Field

from evenkeel.tasks.sample.plan import Candidates, Plan
from evenkeel.tasks.sample.quotas.allocation import water_fill
from evenkeel.tasks.sample.strategy import Strategy


class ClusterClip(Strategy):
    """Give every leaf the same quota and repeat the rows of small leaves up to a clip."""

    name: Literal["cluster-clip"] = "cluster-clip"
    clip: int = Field(5, ge=1, le=1000, description="Most copies of one row.")

    def most_copies(self) -> int:
        """Return the clip."""
        return self.clip

    def plan(self, candidates: Candidates) -> Plan:
        """Return equal quotas over the leaves, each at most clip times its size."""
        sizes = candidates.tree.sizes
        floors = candidates.limits.floors(sizes)
        return Plan(water_fill(sizes * self.clip, candidates.target, floors=floors, seed=candidates.seed), sizes)
