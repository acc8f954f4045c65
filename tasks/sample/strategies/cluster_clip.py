"""Uniform over leaves, uniform inside, rows of small leaves repeated at most `clip` times.

Source: ClusterClip (arXiv 2402.14526): a leaf of n rows is repeated min(B / (K n), clip) times, the rest is
water-filled.
"""

from evenkeel.tasks.sample.options import ClusterClip
from evenkeel.tasks.sample.plan import Candidates, Plan
from evenkeel.tasks.sample.quotas.allocation import water_fill


def plan(options: ClusterClip, candidates: Candidates) -> Plan:
    """Return equal quotas over the leaves, each at most clip times its size."""
    sizes = candidates.tree.sizes
    floors = candidates.limits.floors(sizes)
    return Plan(water_fill(sizes * options.clip, candidates.target, floors=floors, seed=candidates.seed), sizes)
