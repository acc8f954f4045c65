"""How even a version is over stable partitions of the space, which the clusters had no part in.

Balance over the clusters that a strategy allots rows to says little: equal quotas are even over them by design. The
partitions are those that `balanced` measures its candidates on.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from evenkeel.infra.workspace import StepRef
from evenkeel.tasks.measure.profile import Profile
from evenkeel.tasks.sample.balanced.steps import read_partitions
from evenkeel.tasks.sample.selection import Selection

SCOPE = "held-out"
BASELINES = ("random", "top-down", "flat")


def held_out_evenness(partition: StepRef | None, sample: StepRef, profile: Profile) -> dict[str, float]:
    """Return the evenness over stable partitions by stage (before, random, top-down, flat, after), {} without any.

    It is 1 - imbalance: the normalised entropy over the cells of a partition, averaged over the partitions by how
    stable each is. Numbers lie in [0, 1].
    """
    measure = read_partitions(partition) if partition is not None else None
    if measure is None:
        return {}
    clusters = profile.clusters
    leaves = clusters[clusters["level"] == 1].set_index("cluster")
    quotas = Selection.open(sample).quotas().to_pandas().set_index("leaf")
    rows = {
        "before": leaves["before"],
        **{name: quotas[name] for name in BASELINES if name in quotas},
        "after": leaves["after"],
    }
    every = np.arange(1 + max(int(leaves.index.max()), int(measure.probe.leaf.max())))
    found: dict[str, float] = {}
    for stage, counts in rows.items():
        weights = measure.weights(counts.reindex(every, fill_value=0).to_numpy(np.float64))
        if weights.sum() > 0:
            found[stage] = 1.0 - measure.imbalance(weights)
    return found


def with_held_out(balance: pd.DataFrame, held_out: Mapping[str, float]) -> pd.DataFrame:
    """Return the profile's table of balance with the evenness over stable partitions as its first scope."""
    first = [{"scope": SCOPE, "stage": stage, "entropy": value} for stage, value in held_out.items()]
    return pd.concat([pd.DataFrame(first), balance], ignore_index=True) if first else balance
