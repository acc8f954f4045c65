"""Allocate over the strata of group columns, or over the leaves where no group is named."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from evenkeel.tasks.sample.plan import Candidates, Plan
from evenkeel.tasks.sample.quotas.groups import find_strata


def plan_over(
    candidates: Candidates, groups: Sequence[str], weigh: Callable[[NDArray[np.int64]], NDArray[np.float64]]
) -> Plan:
    """Return quotas in proportion to `weigh(sizes)` over the strata of some group columns, or over the leaves."""
    if not groups:
        sizes = candidates.tree.sizes
        return Plan(candidates.fill(weigh(sizes)), sizes)
    strata = find_strata(candidates.rows, groups, candidates.compute)
    allocation = candidates.fill(weigh(strata.sizes), strata.sizes)
    quotas = dict(zip(map("/".join, strata.values), allocation.quotas.tolist(), strict=True))
    facts = {"quotas": quotas} if len(quotas) <= 1000 else {}
    return Plan(allocation, strata.sizes, cells_of=strata.of, columns=strata.columns, facts=facts)
