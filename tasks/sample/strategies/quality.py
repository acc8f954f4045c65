"""Draw rows with weights by quality scores, traded off against diversity.

Sources. quadmix: QuaDMix (arXiv 2504.16511): q = a weighted sum of normalised scores, r = its token-weighted rank in
[0, 1] with 0 best, weight (2 / (1 + exp(-lambda (omega - r))))^eta + eps up to omega and eps beyond. samplemix:
SampleMix (arXiv 2503.01506): 0.8 diversity + 0.2 quality, diversity from how wide a row's leaf is. kmq: kMQ (arXiv
2409.11378): the same quota for every leaf, inside it weights softmax(quality).
"""

from dataclasses import dataclass
from functools import partial
from typing import ClassVar, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import Field, model_validator

from evenkeel.expectations.goals import Goal
from evenkeel.infra.hashing import uniform
from evenkeel.tasks.sample.balanced.rules import steady_radii
from evenkeel.tasks.sample.candidates import CandidateRows, score_of
from evenkeel.tasks.sample.draw_plan import DrawPlan, one_cell_plan
from evenkeel.tasks.sample.problem import SamplingProblem
from evenkeel.tasks.sample.strategy import CAP, FLOOR, Strategy

SEED = 0x7175_616C
SAMPLE_ROWS = 1 << 18
POINTS = 1025


@dataclass(frozen=True)
class Blend:
    """A weighted sum of scores, each brought to [0, 1] between its 1st and 99th percentile in the pool."""

    scores: dict[str, float]
    low: dict[str, float]
    high: dict[str, float]

    def of(self, table: pa.Table) -> NDArray[np.float64]:
        """Return the blended quality of every row of a table in [0, 1], (n,) float64."""
        total = np.zeros(table.num_rows)
        for name, weight in self.scores.items():
            span = max(self.high[name] - self.low[name], 1e-12)
            total += weight * np.clip((score_of(table, name) - self.low[name]) / span, 0.0, 1.0)
        blended: NDArray[np.float64] = total / sum(self.scores.values())
        return blended


@dataclass(frozen=True)
class QualityWeights:
    """The weight of a row by its quality.

    ranks: (POINTS,) quality at equal steps of token-weighted rank, best first. diversity: (k1,) of every leaf.
    """

    options: "Quality"
    blend: Blend
    ranks: NDArray[np.float64]
    diversity: NDArray[np.float64]

    def __call__(self, table: pa.Table, block: str) -> NDArray[np.float64]:
        """Return the weights of the rows of a table, (n,) float64."""
        options, quality = self.options, self.blend.of(table)
        if options.rule == "kmq":
            return np.exp(options.sharpness * (quality - 1.0))
        if options.rule == "samplemix":
            mixed: NDArray[np.float64] = options.diversity * self.diversity[table["leaf"].to_numpy()]
            return mixed + (1.0 - options.diversity) * quality
        rank = 1.0 - np.interp(quality, self.ranks[::-1], np.linspace(0.0, 1.0, POINTS))
        return quadmix(rank, options)


def quadmix(rank: NDArray[np.float64], options: "Quality") -> NDArray[np.float64]:
    """Return the sampling value of QuaDMix for ranks in [0, 1], 0 best, (n,) float64."""
    inside = (2.0 / (1.0 + np.exp(-options.sharpness * (options.omega - rank)))) ** options.eta
    return np.where(rank <= options.omega, inside + options.epsilon, options.epsilon)


class Quality(Strategy):
    """Weights by score columns, blended with the diversity of the clusters."""

    obeys: ClassVar[frozenset[str]] = frozenset()
    goal: ClassVar[Goal] = "weights"

    name: Literal["quality"] = "quality"
    rule: Literal["quadmix", "samplemix", "kmq"] = Field(
        "quadmix",
        description="quadmix: sigmoid of the rank; samplemix: diversity + quality; kmq: softmax in each leaf.",
    )
    scores: dict[str, float] = Field(min_length=1, description="Score columns and their weights, higher is better.")
    sharpness: float = Field(20.0, gt=0, le=1e4, description="quadmix: steepness (lambda). kmq: inverse temperature.")
    omega: float = Field(0.3, gt=0, le=1, description="quadmix: rank (0 = best) beyond which rows are rarely kept.")
    eta: float = Field(1.0, gt=0, le=10, description="quadmix: exponent of the sigmoid.")
    epsilon: float = Field(0.001, ge=0, le=1, description="quadmix: weight of a row beyond omega.")
    diversity: float = Field(0.8, ge=0, le=1, description="samplemix: weight of diversity; the rest is quality.")

    @model_validator(mode="after")
    def _usable(self) -> "Quality":
        if any(weight < 0 for weight in self.scores.values()) or not any(self.scores.values()):
            raise ValueError("the weights of scores are >= 0 and not all zero")
        return self

    def obeyed(self) -> frozenset[str]:
        """Return what the rule keeps: kmq has quotas, the others draw from the pool as one cell."""
        return frozenset({FLOOR, CAP}) if self.rule == "kmq" else self.obeys

    def plan(self, problem: SamplingProblem) -> DrawPlan:
        """Return weights by quality: in one cell, or for kmq in equal quotas over the leaves."""
        rows, tree = problem.rows, problem.tree
        columns = [f"score.{name}" for name in self.scores]
        rows.check(columns)
        share = min(1.0, SAMPLE_ROWS / max(1, tree.rows))
        sample = partial(_sample, rows=rows, names=tuple(self.scores), share=share, seed=SEED + problem.seed)
        sampled = pa.concat_tables(problem.compute.map(sample, rows.blocks, work=rows.pool.rows * 40))
        blend = Blend(
            self.scores,
            {name: float(np.quantile(sampled[f"score.{name}"].to_numpy(), 0.01)) for name in self.scores},
            {name: float(np.quantile(sampled[f"score.{name}"].to_numpy(), 0.99)) for name in self.scores},
        )
        weights = QualityWeights(
            self, blend, _ranks(blend.of(sampled), sampled["tokens"].to_numpy()), _diversity(problem)
        )
        if self.rule == "kmq":
            return DrawPlan(problem.fill(), tree.sizes, weights_of=weights, columns=columns)
        return one_cell_plan(problem, tree.rows, weights, columns)


def _sample(block: str, rows: CandidateRows, names: tuple[str, ...], share: float, seed: int) -> pa.Table:
    table = rows.table(block, ["identity", "tokens", *[f"score.{name}" for name in names]])
    for name in names:
        score_of(table, name)
    return table.filter(pa.array(uniform(seed, table["identity"].to_numpy()) <= share))


def _ranks(quality: NDArray[np.float64], tokens: NDArray[np.int32]) -> NDArray[np.float64]:
    order = np.argsort(-quality, kind="stable")
    weight = np.cumsum(np.maximum(tokens[order], 1).astype(np.float64))
    return np.interp(np.linspace(0.0, 1.0, POINTS), weight / weight[-1], quality[order])


def _diversity(problem: SamplingProblem) -> NDArray[np.float64]:
    """Return how wide each leaf is against the widest ones, in [0, 1], (k1,) float64."""
    radii = steady_radii(problem.tree)
    return np.clip(radii / np.quantile(radii, 0.99), 0.0, 1.0)
