"""The default: measure many rules by stability-validated partitions, and take the most balanced.

Ours. No fixed rule is best everywhere: the equal split of a tree can be worse than random, and equal quotas over the
leaves favour regions with many leaves. Every candidate of `balanced/rules.py` is measured on partitions of the space
that the clustering had no part in (`balanced/partition.py`), and the most balanced mean of them is taken that leaves
levels and groups not less even than random, as far as that is cheap (`balanced/blending.py`). Random is a candidate, so
the default is never less balanced than random on that measure. Where the halves of the data agree little, and hardly
better than those of a cloud without clusters, the choice is averaged with random, or random, unless `abstain` is
false. `rule` names a rule to take without measuring, so that a later version changes only with its data.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar, Literal, get_args

from pydantic import Field

from evenkeel.expectations.goals import Goal
from evenkeel.infra.errors import RecipeError
from evenkeel.tasks.sample.balanced.blending import blend_evenly, imbalance_of
from evenkeel.tasks.sample.balanced.config import KernelDensityConfig, PartitionConfig
from evenkeel.tasks.sample.balanced.evenness import Guard, level_scopes
from evenkeel.tasks.sample.balanced.hedging import doubt, hedged
from evenkeel.tasks.sample.balanced.rules import rules
from evenkeel.tasks.sample.draw_plan import DrawPlan
from evenkeel.tasks.sample.problem import SamplingProblem
from evenkeel.tasks.sample.quotas.allocation import blend
from evenkeel.tasks.sample.strata.scopes import group_scopes
from evenkeel.tasks.sample.strategies.random import Random
from evenkeel.tasks.sample.strategy import Strategy

HEDGED = "; the halves of the data agree little ({agreement:.2f}), so random makes up {share:.0%} of it"
HedgeFact = Literal["hedged", "agreement", "reference"]
NOTHING_STABLE = "no partition of the pool is stable, so leaves are equal"
NOTHING_AGREED = "the halves of the data agree on no partition of the pool, so rows are drawn at random"


class Balanced(Strategy):
    """Measure many rules on partitions that the clusters did not make, and take the most balanced."""

    goal: ClassVar[Goal] = "balance"

    name: Literal["balanced"] = "balanced"
    probe_rows: int = Field(8192, ge=64, le=32768, description="Rows on which the rules are measured.")
    abstain: bool = Field(
        True,
        description="Average with random, or draw at random, where halves of the data agree little on its clusters; "
        "false = even them out all the same.",
    )
    rule: str = Field("", description="A rule that an earlier run chose, taken without measuring; empty = measure.")
    hedge: dict[HedgeFact, float | None] = Field(
        default_factory=dict,
        description="Why the run that chose the rule left some of it to chance, which is told again: its facts.",
    )

    def partition_config(self) -> PartitionConfig | None:
        """Return the partitions that rules are measured on; None where the rule is named."""
        return None if self.rule else PartitionConfig(rows=self.probe_rows)

    def density_config(self) -> KernelDensityConfig | None:
        """Return the kernel density that the rules `spread-h-a` weigh leaves by; None where none of them is named."""
        return KernelDensityConfig() if not self.rule or "spread-" in self.rule else None

    def pinned(self, facts: Mapping[str, object]) -> "Balanced":
        """Return the strategy that takes the rule chosen in these facts; one that names a rule stays as it is."""
        if self.rule:
            return self
        hedge = {name: facts.get(name) for name in get_args(HedgeFact)} if facts.get("hedged") else {}
        return self.model_copy(update={"rule": str(facts.get("chosen", "")), "hedge": hedge})

    def plan(self, problem: SamplingProblem) -> DrawPlan:
        """Return the allocation of the candidate rule that spreads most evenly over the stable partitions.

        Where that is nothing but `random`, the rows are those that the strategy of this name keeps.
        """
        plan = self.leaf_plan(problem)
        if set(str(plan.facts["chosen"]).split("+")) != {"random"}:
            return plan
        return replace(Random().plan(problem), facts=plan.facts, measured=plan.measured)

    def leaf_plan(self, problem: SamplingProblem) -> DrawPlan:
        """Return the same with a quota for every leaf, `random` too."""
        sizes = problem.tree.sizes
        if self.rule:
            return _named(self.rule, {str(name): value for name, value in self.hedge.items()}, problem)
        measure, agreement = problem.partitions, problem.agreement
        if measure is None or agreement is None:
            return self._unmeasured(problem)
        made = dict(rules(problem))
        weights = {name: measure.weights(allocation.shares) for name, allocation in made.items()}
        measured = {name: round(measure.imbalance(part), 5) for name, part in weights.items()}
        shares, partitions = {name: allocation.shares for name, allocation in made.items()}, measure.summary()
        scopes = [*level_scopes(problem.tree, problem.seed), *group_scopes(problem)]
        found = blend_evenly(measure, weights, Guard.of(scopes, shares, problem.target))
        parts = hedged(found.parts, doubt(agreement, problem.reference)) if self.abstain else found.parts
        lowest, share = imbalance_of(measure, weights, parts), parts.count("random") / len(parts)
        hedge = parts != found.parts
        facts = {
            "chosen": "+".join(parts),
            "why": f"imbalance {lowest:.3f} over stable partitions, against {measured['random']:.3f} for random"
            + (HEDGED.format(agreement=agreement, share=share) if hedge else ""),
            "imbalance": measured,
            "partitions": partitions,
            "agreement": agreement,
            "reference": problem.reference,
            "hedged": share if hedge else 0.0,
            "uneven": found.uneven,
        }
        allocation = blend([made[name] for name in parts], problem.seed)
        return DrawPlan(allocation, sizes, facts=facts, measured=measured)

    def _unmeasured(self, problem: SamplingProblem) -> DrawPlan:
        """Return what is done without stable partitions: chance where halves agree on none, else equal leaves."""
        sizes, agreement = problem.tree.sizes, problem.agreement
        if agreement is None or not self.abstain:
            return DrawPlan(problem.fill(), sizes, facts={"chosen": "flat", "why": NOTHING_STABLE})
        facts = {"chosen": "random", "why": NOTHING_AGREED, "agreement": agreement, "reference": None, "hedged": 1.0}
        return DrawPlan(problem.fill(sizes.astype(float)), sizes, facts=facts)


def _named(rule: str, hedge: Mapping[str, object], problem: SamplingProblem) -> DrawPlan:
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
    return DrawPlan(allocation, problem.tree.sizes, facts={"chosen": rule, "why": "named in the recipe", **hedge})
