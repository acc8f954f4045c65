"""Weights between proportional and uniform: size^(1 / temperature).

Source: the temperature sampling of multilingual pre-training (Devlin et al. 2019; Conneau et al. 2019).
"""

import numpy as np
from numpy.typing import NDArray

from evenkeel.tasks.sample.options import Temperature
from evenkeel.tasks.sample.plan import Candidates, Plan
from evenkeel.tasks.sample.quotas.strata import plan_over


def plan(options: Temperature, candidates: Candidates) -> Plan:
    """Return quotas in proportion to size^(1 / temperature) of the leaves or group values."""
    return plan_over(candidates, options.groups, lambda sizes: tempered(sizes, options.temperature))


def tempered(sizes: NDArray[np.int64], temperature: float) -> NDArray[np.float64]:
    """Return size^(1 / temperature) as shares of 1, (n,) float64; empty cells get none."""
    weights = np.where(sizes > 0, np.maximum(sizes, 1) ** (1.0 / temperature), 0.0)
    shares: NDArray[np.float64] = weights / max(1.0, weights.sum())
    return shares
