"""A schedule of weights: a high temperature first, lower later.

Source: Cooldown (arXiv 2410.04579). The selection holds the mean of what the stages ask for; the facts hold the weights
of each stage, so that a trainer can follow the schedule.
"""

import numpy as np
from numpy.typing import NDArray

from tasks.measure.balance import balance
from tasks.sample.options import Cooldown
from tasks.sample.plan import Candidates, Plan
from tasks.sample.strata import plan_over
from tasks.sample.strategies.temperature import tempered


def plan(options: Cooldown, candidates: Candidates) -> Plan:
    """Return quotas in proportion to the mean weights of all stages, and the weights of each stage as facts."""
    schedule: list[dict[str, object]] = []

    def weigh(sizes: NDArray[np.int64]) -> NDArray[np.float64]:
        stages = [tempered(sizes, temperature) for temperature in options.temperatures]
        for number, (temperature, shares) in enumerate(zip(options.temperatures, stages, strict=True), start=1):
            stage: dict[str, object] = {"stage": number, "temperature": temperature, **balance(shares, sizes > 0)}
            if len(shares) <= MOST_LISTED:
                stage["weights"] = [round(float(share), 9) for share in shares]
            schedule.append(stage)
        mean: NDArray[np.float64] = np.mean(stages, axis=0)
        return mean

    made = plan_over(candidates, options.groups, weigh)
    made.facts["schedule"] = schedule
    return made


MOST_LISTED = 1000
