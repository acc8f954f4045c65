"""The default."""

from tasks.sample.options import Balanced
from tasks.sample.plan import Candidates, Plan


def plan(options: Balanced, candidates: Candidates) -> Plan:
    """Return the flat allocation."""
    return Plan(candidates.fill(), candidates.tree.sizes, facts={"chosen": "flat"})
