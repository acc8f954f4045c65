"""Equal quotas over the leaves, the rows nearest to their centroid first: the prototypes.

Source: the "closest" variant of Vo et al. 2024 (arXiv 2405.15613); less diverse than a random draw inside the leaf.
"""

from evenkeel.tasks.sample.options import Closest
from evenkeel.tasks.sample.plan import Candidates, Plan


def plan(options: Closest, candidates: Candidates) -> Plan:
    """Return equal quotas over the leaves, to be drawn from the centroid outwards."""
    return Plan(candidates.fill(), candidates.tree.sizes, order="closest")
