"""The default: measure many rules on structure that the clusters did not make, and take the most balanced.

Ours. No fixed rule is best everywhere: the equal split of a tree can be worse than random, and equal quotas over
leaves give dense regions what they hold in leaves. Every candidate of `balanced/rules.py` is measured on cuts of the
space that the clustering had no part in (`balanced/structure.py`). Random is a candidate, so the default is never
less balanced than random on that measure. To the best candidate others are added, where the mean of them is more
even still (greedy ensemble selection; Caruana et al. 2004): unevenness is convex, so a mean is never worse than its
parts are on average. `rule` names what to take without measuring, so that a later version changes no more than its
data.
"""

import numpy as np
from numpy.typing import NDArray

from evenkeel.infra.errors import RecipeError
from evenkeel.tasks.sample.balanced.rules import rules
from evenkeel.tasks.sample.balanced.structure import Cut, unevenness
from evenkeel.tasks.sample.options import Balanced
from evenkeel.tasks.sample.plan import Candidates, Plan
from evenkeel.tasks.sample.quotas.allocation import blend

MOST_PARTS = 6


def plan(options: Balanced, candidates: Candidates) -> Plan:
    """Return the allocation of the candidate rule that spreads most evenly over held-out structure."""
    tree = candidates.tree
    if options.rule:
        return _named(options.rule, candidates)
    assert candidates.structure is not None
    probe, cuts = candidates.structure(options.probe_rows)
    if not cuts:
        return Plan(
            candidates.fill(),
            tree.sizes,
            facts={"chosen": "flat", "why": "two halves of the pool show no common structure, so leaves are equal"},
        )
    made = dict(rules(candidates))
    masses = {name: probe.mass(allocation.shares) for name, allocation in made.items()}
    measured = {name: unevenness(cuts, mass) for name, mass in masses.items()}
    parts, least = blend_greedily(cuts, masses)
    facts = {
        "chosen": "+".join(parts),
        "why": f"unevenness {least:.3f} over held-out structure, against {measured['random']:.3f} for random",
        "unevenness": {name: round(value, 5) for name, value in measured.items()},
        "cuts": [{"scale": cut.scale, "cells": cut.counts[0], "agreement": round(cut.agreement, 4)} for cut in cuts],
    }
    return Plan(blend([made[name] for name in parts], candidates.seed), tree.sizes, facts=facts)


def blend_greedily(cuts: list[Cut], masses: dict[str, NDArray[np.float64]]) -> tuple[list[str], float]:
    """Return up to six candidates, repeats allowed, whose mean is the most even, and its unevenness."""
    parts: list[str] = []
    total: NDArray[np.float64] = np.zeros(1)
    values: list[float] = []
    while len(parts) < MOST_PARTS:
        tried = {name: unevenness(cuts, total + mass) for name, mass in masses.items()}
        best = min(tried, key=lambda name: tried[name])
        parts, total, values = [*parts, best], total + masses[best], [*values, tried[best]]
    best_length = int(np.argmin(values)) + 1
    return parts[:best_length], values[best_length - 1]


def _named(rule: str, candidates: Candidates) -> Plan:
    made = dict(rules(candidates))
    parts = rule.split("+")
    if missing := [name for name in parts if name not in made]:
        raise RecipeError(
            f"there is no candidate rule {missing[0]!r}",
            expected=f"one of {', '.join(made)}, or several joined by +",
            where="sampling.strategy.rule",
            remedy="take what an earlier run chose from its facts, or leave it empty",
        )
    allocation = blend([made[name] for name in parts], candidates.seed)
    return Plan(allocation, candidates.tree.sizes, facts={"chosen": rule, "why": "named in the recipe"})
