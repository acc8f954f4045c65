"""Draw rows with weights by quality scores, traded off against diversity.

Sources. quadmix: QuaDMix (arXiv 2504.16511): q = a weighted sum of normalised scores, r = its token-weighted rank in
[0, 1] in the row's domain with 0 best, expected copies (2 / (1 + exp(-lambda (omega - r))))^eta + eps up to omega and
eps beyond. samplemix: SampleMix (arXiv 2503.01506): 0.8 diversity + 0.2 quality, diversity the product of compactness
and separation of a row's leaf. Both are scaled to the target; a row comes in the whole part of its expected copies, and
once more with the chance of the rest. kmq: kMQ (arXiv 2409.11378): the same quota for every leaf, inside it softmax of
quality without replacement; rounds of rewards weight leaves by exp(mean reward).
"""

from typing import ClassVar, Literal

import numpy as np
import pyarrow as pa
from pydantic import Field, model_validator

from evenkeel.expectations.goals import Goal
from evenkeel.infra.errors import RecipeError
from evenkeel.tasks.sample.draw_plan import DrawPlan, WeightsOf
from evenkeel.tasks.sample.pool_sample import sample_table
from evenkeel.tasks.sample.problem import SamplingProblem
from evenkeel.tasks.sample.quality.blend import Blend, RankCurve
from evenkeel.tasks.sample.quality.config import QualityDomain
from evenkeel.tasks.sample.quality.rules import (
    QuadmixWeights,
    SamplemixWeights,
    Sigmoid,
    SoftmaxWeights,
    by_value,
    cluster_diversity,
    reward_weights,
)
from evenkeel.tasks.sample.strata.count import find_strata
from evenkeel.tasks.sample.strategy import CAP, FLOOR, Strategy
from evenkeel.tasks.sample.weighted_plan import weighted_plan

SEED = 0x7175_616C
SAMPLE_ROWS = 1 << 18
MAX_DOMAINS = 1000


class Quality(Strategy):
    """Weights by score columns, blended with the diversity of the clusters."""

    obeys: ClassVar[frozenset[str]] = frozenset({FLOOR, CAP})
    goal: ClassVar[Goal] = "weights"

    name: Literal["quality"] = "quality"
    rule: Literal["quadmix", "samplemix", "kmq"] = Field(
        "quadmix",
        description="quadmix: sigmoid of the rank; samplemix: diversity + quality; kmq: softmax in each leaf.",
    )
    scores: dict[str, float] = Field(
        min_length=1, description="Score columns and their weights; below 0 = lower is better."
    )
    sharpness: float = Field(20.0, gt=0, le=1e4, description="quadmix: steepness (lambda). kmq: inverse temperature.")
    omega: float = Field(0.3, gt=0, le=1, description="quadmix: rank (0 = best) beyond which rows are rarely kept.")
    eta: float = Field(1.0, gt=0, le=10, description="quadmix: exponent of the sigmoid.")
    epsilon: float = Field(0.001, ge=0, le=1, description="quadmix: expected copies of a row beyond omega.")
    domains: str = Field("", description="quadmix: group column in whose values rows are ranked; empty = one domain.")
    parameters: dict[str, QualityDomain] = Field(
        default_factory=dict, description="quadmix: parameters of single domains; others have those above."
    )
    diversity: float = Field(0.8, ge=0, le=1, description="samplemix: weight of diversity; the rest is quality.")
    copies: int = Field(10, ge=1, le=1000, description="quadmix, samplemix: copies of one row at most.")
    rewards: list[str] = Field(
        default_factory=list, description="kmq: score columns of rewards, one a round; NaN = not scored."
    )
    reward_scale: float = Field(1.0, gt=0, le=1e6, description="kmq: a leaf weighs exp(this * its mean reward).")

    @model_validator(mode="after")
    def _usable(self) -> "Quality":
        for where, scores in [
            ("scores", self.scores),
            *((name, part.scores) for name, part in self.parameters.items()),
        ]:
            if scores is not None and not any(scores.values()):
                raise ValueError(f"the weights of scores are not all zero ({where})")
        if self.parameters and not self.domains:
            raise ValueError("parameters need domains: the group column whose values they are for")
        if self.domains and self.rule != "quadmix":
            raise ValueError(f"domains belong to rule: quadmix, found rule: {self.rule}")
        if self.rewards and self.rule != "kmq":
            raise ValueError(f"rewards belong to rule: kmq, found rule: {self.rule}")
        return self

    def max_copies(self) -> int:
        """Return how often the rule may repeat a row: as often as its formula says, `copies` at most."""
        if self.rule == "kmq":
            return 1
        if self.rule == "samplemix":
            return self.copies
        return min(self.copies, int(np.ceil(max(part.most for part in self._sigmoids().values()))))

    def reads(self) -> tuple[str, ...]:
        """Return the scores, the rewards, and the group column of the domains."""
        groups = [f"group.{self.domains.removeprefix('group.')}"] if self.domains else []
        return (*(f"score.{name}" for name in [*self.needs_scores(), *self.rewards]), *groups)

    def needs_scores(self) -> tuple[str, ...]:
        """Return the scores; a row without a reward is one that was not scored."""
        return tuple(sorted({name for part in self._sigmoids().values() for name in part.scores}))

    def plan(self, problem: SamplingProblem) -> DrawPlan:
        """Return weights by quality: over the pool, or for kmq inside the quotas of the leaves."""
        rows, pool = problem.rows, problem.tree.rows
        sigmoids = self._sigmoids()
        names = list(self.needs_scores())
        columns = [f"score.{name}" for name in names]
        if self.domains:
            columns.append(f"group.{self.domains.removeprefix('group.')}")
        rows.check(columns)
        sampled = sample_table(rows, [*columns, "tokens"], SAMPLE_ROWS, pool, SEED + problem.seed, problem.compute)
        blend = Blend.fit(sampled, names)
        if self.rule == "kmq":
            weights: WeightsOf = SoftmaxWeights(blend, self.scores, self.sharpness)
            quotas = reward_weights(problem, self.rewards, self.reward_scale) if self.rewards else None
            return DrawPlan(
                problem.fill(quotas), problem.tree.sizes, weights_of=weights, columns=columns, draw="gumbel"
            )
        if self.rule == "samplemix":
            weights = SamplemixWeights(
                blend, self.scores, self.diversity, cluster_diversity(problem.tree, problem.seed)
            )
        else:
            group = self.domains.removeprefix("group.")
            parts = by_value(sampled, group)
            self._check_domains([value for value, _ in parts], problem, group)
            curves = {}
            tokens = sampled["tokens"].fill_null(0).to_numpy()
            for value, mine in [("", np.arange(sampled.num_rows)), *parts]:
                quality = blend.of(sampled.take(pa.array(mine)), sigmoids.get(value, sigmoids[""]).scores)
                curves[value] = RankCurve.fit(quality, tokens[mine])
            weights = QuadmixWeights(blend, group, curves, sigmoids)
        copies = max(problem.limits.max_repeats, self.max_copies())
        return weighted_plan(problem, weights, columns, copies=copies)

    def _sigmoids(self) -> dict[str, Sigmoid]:
        """Return the sigmoid of every domain with parameters of its own, and of all others under ""."""
        whole = Sigmoid(self.scores, self.sharpness, self.omega, self.eta, self.epsilon)
        given = {name: part.model_dump(exclude_none=True) for name, part in self.parameters.items()}
        return {"": whole} | {name: Sigmoid(**{**vars(whole), **part}) for name, part in given.items()}

    def _check_domains(self, values: list[str], problem: SamplingProblem, group: str) -> None:
        """Raise RecipeError for a domain that no row has, or too many domains; values: those of a sample."""
        if set(self.parameters) - set(values):
            strata = find_strata(problem.rows, [group], problem.compute)
            self._check_known(strata.coding.dictionaries[0].to_pylist())
        if len(values) > MAX_DOMAINS:
            raise RecipeError(
                f"{self.domains} has too many values to rank rows in each",
                expected=f"at most {MAX_DOMAINS:,}",
                found=f"{len(values):,} in a sample",
                where="sampling.strategy.domains",
                remedy="choose a coarser group column",
            )

    def _check_known(self, known: list[str]) -> None:
        if missing := sorted(set(self.parameters) - set(known)):
            raise RecipeError(
                f"no row has {self.domains}={missing[0]}",
                expected=f"one of {', '.join(sorted(known)[:20])}",
                where="sampling.strategy.parameters",
                remedy="correct the name of the domain, or remove it",
            )
