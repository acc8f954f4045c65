"""Choose the mean of candidates that is the most balanced, and not less even than random over levels and groups.

Candidates are added to the best one where the mean of them is more balanced still (greedy ensemble selection; Caruana
et al. 2004): imbalance is convex, so a mean is never worse than its parts are on average.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evenkeel.tasks.sample.balanced.evenness import Guard
from evenkeel.tasks.sample.balanced.hedging import MAX_PARTS
from evenkeel.tasks.sample.problem import ImbalanceMeasure

ROUNDING = 1e-12
PENALTY = 1000.0
MAX_COST = 0.1

Weights = Mapping[str, NDArray[np.float64]]


@dataclass(frozen=True)
class Blend:
    """Candidates, repeats allowed, whose mean is taken.

    imbalance: of the mean. uneven: names of the scopes that it leaves less even than random.
    """

    parts: list[str]
    imbalance: float
    uneven: list[str]


def blend_greedily(measure: ImbalanceMeasure, weights: Weights, guard: Guard | None = None) -> tuple[list[str], float]:
    """Return up to six candidates, repeats allowed, whose mean is the most balanced, and its imbalance.

    guard: scopes that must not be less even than random; falling short there outweighs any gain in balance. The mean of
    the same candidates twice over differs in the last bits alone; the shortest list is taken.
    """
    parts: list[str] = []
    total: NDArray[np.float64] = np.zeros(1)
    lifted = None if guard is None else guard.nothing()
    values: list[float] = []

    def judged(name: str) -> float:
        imbalance = measure.imbalance(total + weights[name])
        if guard is None or lifted is None:
            return imbalance
        return imbalance + PENALTY * max(guard.shortfalls(guard.plus(lifted, name), len(parts) + 1))

    while len(parts) < MAX_PARTS:
        tried = {name: judged(name) for name in weights}
        best = min(tried, key=lambda name: tried[name])
        if guard is not None and lifted is not None:
            lifted = guard.plus(lifted, best)
        parts, total, values = [*parts, best], total + weights[best], [*values, tried[best]]
    shortest = int(np.argmax(np.array(values) <= min(values) + ROUNDING))
    chosen = parts[: shortest + 1]
    return chosen, imbalance_of(measure, weights, chosen)


def imbalance_of(measure: ImbalanceMeasure, weights: Weights, parts: Sequence[str]) -> float:
    """Return the imbalance of the mean of some candidates."""
    return measure.imbalance(np.sum([weights[name] for name in parts], axis=0))


def blend_evenly(measure: ImbalanceMeasure, weights: Weights, guard: Guard) -> Blend:
    """Return the most balanced mean that is in no scope of the guard less even than random, as far as that is cheap.

    A scope is left less even where evening it out takes more than a tenth of what is gained over random: leaves crowd
    where there are many rows, levels may have hubs, and clusters know nothing of the values of a group column.
    """
    parts, lowest = blend_greedily(measure, weights)
    gained = imbalance_of(measure, weights, ["random"]) - lowest
    kept, uneven = guard.only([]), []
    for name in [scope.name for scope in guard.scopes]:
        wider = guard.only([*(scope.name for scope in kept.scopes), name])
        if wider.uneven(parts):
            other, imbalance = blend_greedily(measure, weights, wider)
            if imbalance - lowest > MAX_COST * gained or wider.uneven(other):
                uneven.append(name)
                continue
            parts = other
        kept = wider
    return Blend(parts, imbalance_of(measure, weights, parts), uneven)
