"""Allocate over the strata of group columns, or over the leaves where no group is named."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from evenkeel.tasks.sample.draw_plan import DrawPlan
from evenkeel.tasks.sample.problem import SamplingProblem
from evenkeel.tasks.sample.strata.count import find_strata

MAX_LISTED = 1000


def plan_over(
    problem: SamplingProblem, groups: Sequence[str], weigh: Callable[[NDArray[np.int64]], NDArray[np.float64]]
) -> DrawPlan:
    """Return quotas in proportion to `weigh(sizes)` over the strata of some group columns, or over the leaves."""
    if not groups:
        sizes = problem.tree.sizes
        return DrawPlan(problem.fill(weigh(sizes)), sizes)
    strata = find_strata(problem.rows, groups, problem.compute)
    allocation = problem.fill(weigh(strata.sizes), strata.sizes)
    facts = {}
    if len(strata) <= MAX_LISTED:
        quotas = allocation.quotas.tolist()
        facts["quotas"] = {"/".join(strata.coding.values(number)): quota for number, quota in enumerate(quotas)}
    return DrawPlan(allocation, strata.sizes, cells_of=strata.of, columns=strata.columns, facts=facts)
