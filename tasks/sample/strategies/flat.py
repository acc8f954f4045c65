"""The same quota for every leaf.

Source: the allocation step of Vo et al. 2024 (arXiv 2405.15613), applied once to the resampled leaves. Uniform over
clusters, uniform inside: also the rule of ClusterClip (arXiv 2402.14526) where `max_repeats` caps the repeats.
"""

from evenkeel.tasks.sample.options import Flat
from evenkeel.tasks.sample.plan import Candidates, Plan


def plan(options: Flat, candidates: Candidates) -> Plan:
    """Return equal quotas over the leaves; small leaves give all they have."""
    return Plan(candidates.fill(), candidates.tree.sizes)
