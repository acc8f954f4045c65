"""The same quota for every group value: under-sampling to an equal share, small values give all they have."""

from evenkeel.tasks.sample.options import Uniform
from evenkeel.tasks.sample.plan import Candidates, Plan
from evenkeel.tasks.sample.quotas.strata import plan_over


def plan(options: Uniform, candidates: Candidates) -> Plan:
    """Return equal quotas over the strata."""
    return plan_over(candidates, options.groups, lambda sizes: (sizes > 0).astype(float))
