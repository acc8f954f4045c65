"""A schedule of weights: a high temperature first, lower later.

Source: Cooldown (arXiv 2410.04579). The selection holds the mean of what the stages ask for; the facts hold the weights
of each stage, by group value (or leaf by leaf), so that a trainer can follow the schedule.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from evenkeel.expectations.measures import balance
from evenkeel.tasks.sample.options import Cooldown
from evenkeel.tasks.sample.plan import Candidates, Plan
from evenkeel.tasks.sample.quotas.strata import plan_over
from evenkeel.tasks.sample.strategies.temperature import tempered

MOST_LISTED = 1000


def plan(options: Cooldown, candidates: Candidates) -> Plan:
    """Return quotas in proportion to the mean weights of all stages, and the weights of each stage as facts."""
    schedule: list[dict[str, Any]] = []

    def weigh(sizes: NDArray[np.int64]) -> NDArray[np.float64]:
        stages = [tempered(sizes, temperature) for temperature in options.temperatures]
        for number, (temperature, shares) in enumerate(zip(options.temperatures, stages, strict=True), start=1):
            stage: dict[str, Any] = {"stage": number, "temperature": temperature, **balance(shares, sizes > 0)}
            if len(shares) <= MOST_LISTED:
                stage["weights"] = [round(float(share), 9) for share in shares]
            schedule.append(stage)
        mean: NDArray[np.float64] = np.mean(stages, axis=0)
        return mean

    made = plan_over(candidates, options.groups, weigh)
    for stage in schedule:
        if "quotas" in made.facts and "weights" in stage:
            stage["weights"] = dict(zip(made.facts["quotas"], stage["weights"], strict=True))
    made.facts["schedule"] = schedule
    return made
