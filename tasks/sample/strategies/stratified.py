"""Strata keep their share of the pool; inside each, every leaf gets the same quota.

Proportional allocation over strata (Neyman 1934) with cluster balance (Vo et al. 2024) inside: one split of a tree of
two levels, strata above and their leaves below.
"""

import numpy as np

from evenkeel.tasks.sample.options import Stratified
from evenkeel.tasks.sample.plan import Candidates, Plan
from evenkeel.tasks.sample.quotas.allocation import split
from evenkeel.tasks.sample.quotas.groups import find_strata
from evenkeel.tasks.sample.quotas.tree import ClusterTree


def plan(options: Stratified, candidates: Candidates) -> Plan:
    """Return quotas over the pairs of stratum and leaf."""
    strata = find_strata(candidates.rows, options.groups, candidates.compute)
    tree = ClusterTree(strata.counts, (strata.strata.astype(np.int32),))
    allocation = split(
        tree,
        candidates.limits.caps(strata.counts),
        candidates.target,
        weights=[None, strata.sizes.astype(float)],
        floors=candidates.limits.floors(strata.counts),
        seed=candidates.seed,
    )
    return Plan(allocation, strata.counts, cells_of=strata.pair_of, columns=strata.columns)
