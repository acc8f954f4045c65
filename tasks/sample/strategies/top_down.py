"""The published hierarchical rule: an equal split at the top, and again inside every cluster.

Source: Vo et al. 2024 (arXiv 2405.15613). It can be less balanced than random where upper levels group unlike leaves;
kept for comparison.
"""

from evenkeel.tasks.sample.options import TopDown
from evenkeel.tasks.sample.plan import Candidates, Plan


def plan(options: TopDown, candidates: Candidates) -> Plan:
    """Return quotas from splitting the target equally, level by level."""
    return Plan(candidates.descend(), candidates.tree.sizes)
