"""Group columns as scopes, in which the evenness of allocations is compared."""

import numpy as np

from evenkeel.tasks.sample.balanced.evenness import Scope
from evenkeel.tasks.sample.problem import SamplingProblem
from evenkeel.tasks.sample.quotas.tree import ClusterTree
from evenkeel.tasks.sample.strata.count import CrossedStrata, cross_strata

MAX_VALUES = 1000


def group_scopes(problem: SamplingProblem) -> list[Scope]:
    """Return the group columns of a pool that have at most a thousand values, each counted in one pass."""
    found = []
    for name in problem.rows.pool.groups:
        crossed = cross_strata(problem.rows, [name], problem.compute)
        if 1 < len(crossed.by_value) <= MAX_VALUES:
            found.append(group_scope(name, crossed, problem.tree))
    return found


def group_scope(name: str, crossed: CrossedStrata, tree: ClusterTree) -> Scope:
    """Return a group column: its values get the share of a leaf's rows that they have there in the pool."""
    rate = crossed.counts / np.maximum(1, tree.sizes)[crossed.leaves]
    return Scope(f"group.{name}", crossed.leaves, crossed.strata, rate, len(crossed.by_value))
