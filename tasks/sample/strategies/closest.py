"""Equal quotas over the leaves, the rows nearest to their centroid first: the prototypes.

Source: the "closest" variant of Vo et al. 2024 (arXiv 2405.15613); less diverse than a random draw inside the leaf.
"""

from typing import Literal

from evenkeel.tasks.sample.plan import Candidates, Plan
from evenkeel.tasks.sample.strategy import Strategy


class Closest(Strategy):
    """Equal quotas over the leaves, the rows nearest to the centroid first."""

    name: Literal["closest"] = "closest"

    def plan(self, candidates: Candidates) -> Plan:
        """Return equal quotas over the leaves, to be drawn from the centroid outwards."""
        return Plan(candidates.fill(), candidates.tree.sizes, order="closest")
