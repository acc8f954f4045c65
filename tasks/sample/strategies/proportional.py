"""Proportional allocation: every stratum keeps its share of the pool (Neyman 1934)."""

from evenkeel.tasks.sample.options import Proportional
from evenkeel.tasks.sample.plan import Candidates, Plan
from evenkeel.tasks.sample.quotas.strata import plan_over


def plan(options: Proportional, candidates: Candidates) -> Plan:
    """Return quotas in proportion to the size of the strata."""
    return plan_over(candidates, options.groups, lambda sizes: sizes.astype(float))
