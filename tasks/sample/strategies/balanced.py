"""The default: measure many rules on structure that the clusters did not make, and take the most balanced.

Ours. No fixed rule is best everywhere: the equal split of a tree can be worse than random, and equal quotas over
leaves give dense regions what they hold in leaves. Every candidate of `balanced/rules.py` is measured on cuts of the
space that the clustering had no part in (`balanced/structure.py`). Random is a candidate, so the default is never
less balanced than random on that measure. To the best candidate others are added, where the mean of them is more
even still (greedy ensemble selection; Caruana et al. 2004): unevenness is convex, so a mean is never worse than its
parts are on average. `rule` names what to take without measuring, so that a later version changes no more than its
data.
"""

from collections.abc import Mapping
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from evenkeel.infra.errors import RecipeError
from evenkeel.tasks.sample.balanced.rules import rules
from evenkeel.tasks.sample.balanced.structure import Cut, unevenness
from evenkeel.tasks.sample.draw_plan import DrawPlan
from evenkeel.tasks.sample.problem import SamplingProblem
from evenkeel.tasks.sample.quotas.allocation import blend
from evenkeel.tasks.sample.strategy import SideStep, Strategy

MOST_PARTS = 6
NO_STRUCTURE = "two halves of the pool show no common structure, so leaves are equal"


class Balanced(Strategy):
    """Measure many rules on structure they did not make and take the most balanced; never worse than random."""

    name: Literal["balanced"] = "balanced"
    probe_rows: int = Field(8192, ge=64, le=32768, description="Rows on which the rules are measured.")
    rule: str = Field("", description="What an earlier run chose, to take without measuring; empty = measure.")

    def side_steps(self) -> tuple[SideStep, ...]:
        """Return crowding, and structure where the rules are measured."""
        return ("crowding",) if self.rule else ("structure", "crowding")

    def pinned(self, facts: Mapping[str, object]) -> "Balanced":
        """Return the strategy that takes the rule chosen in these facts; one that names a rule stays as it is."""
        return self if self.rule else self.model_copy(update={"rule": str(facts.get("chosen", ""))})

    def plan(self, problem: SamplingProblem) -> DrawPlan:
        """Return the allocation of the candidate rule that spreads most evenly over held-out structure."""
        tree = problem.tree
        if self.rule:
            return _named(self.rule, problem)
        assert problem.structure is not None
        probe, cuts = problem.structure(self.probe_rows)
        if not cuts:
            return DrawPlan(
                problem.fill(),
                tree.sizes,
                facts={"chosen": "flat", "why": NO_STRUCTURE},
            )
        made = dict(rules(problem))
        masses = {name: probe.mass(allocation.shares) for name, allocation in made.items()}
        measured = {name: unevenness(cuts, mass) for name, mass in masses.items()}
        parts, least = blend_greedily(cuts, masses)
        rounded = {name: round(value, 5) for name, value in measured.items()}
        facts = {
            "chosen": "+".join(parts),
            "why": f"unevenness {least:.3f} over held-out structure, against {measured['random']:.3f} for random",
            "unevenness": rounded,
            "cuts": [
                {"scale": cut.scale, "cells": cut.counts[0], "agreement": round(cut.agreement, 4)} for cut in cuts
            ],
        }
        allocation = blend([made[name] for name in parts], problem.seed)
        return DrawPlan(allocation, tree.sizes, facts=facts, measured=rounded)


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


def _named(rule: str, problem: SamplingProblem) -> DrawPlan:
    made = dict(rules(problem))
    parts = rule.split("+")
    if missing := [name for name in parts if name not in made]:
        raise RecipeError(
            f"there is no candidate rule {missing[0]!r}",
            expected=f"one of {', '.join(made)}, or several joined by +",
            where="sampling.strategy.rule",
            remedy="take what an earlier run chose from its facts, or leave it empty",
        )
    allocation = blend([made[name] for name in parts], problem.seed)
    return DrawPlan(allocation, problem.tree.sizes, facts={"chosen": rule, "why": "named in the recipe"})
