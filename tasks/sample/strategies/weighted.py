"""Draw rows by a score: chances in proportion to a power of it, or the highest first.

Sources. poisson: inclusion probabilities by order sampling (Rosen 1997; sequential Poisson sampling, Ohlsson 1998).
gumbel: one by one in proportion to the weights (Efraimidis and Spirakis 2006), as importance resampling draws. Any
model's score of a row will do: MATES (arXiv 2406.06046), Ask-LLM (arXiv 2402.09668), EL2N and GraNd (arXiv 2107.07075).
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import Field

from evenkeel.expectations.goals import Goal
from evenkeel.infra.errors import RecipeError
from evenkeel.tasks.sample.candidates import score_of
from evenkeel.tasks.sample.draw_plan import Draw, DrawPlan
from evenkeel.tasks.sample.problem import SamplingProblem
from evenkeel.tasks.sample.strategy import CAP, FLOOR, Strategy
from evenkeel.tasks.sample.weighted_plan import Within, weighted_plan


@dataclass(frozen=True)
class ScoreWeights:
    """The weight of a row: a power of its score."""

    score: str
    power: float

    def __call__(self, table: pa.Table, block: str) -> NDArray[np.float64]:
        """Return the weights of the rows of a block, (n,) float64. Raises RecipeError for a score that is no weight."""
        scores = score_of(table, self.score)
        wrong = scores < 0 if self.power >= 0 else scores <= 0
        if wrong.any():
            place = int(np.argmax(wrong))
            raise RecipeError(
                f"the score {self.score!r} of {int(wrong.sum()):,} row(s) of {block} is no weight",
                expected="scores >= 0" if self.power >= 0 else "scores > 0, as the power is negative",
                found=f"{scores[place]:g} at row_id {table['row_id'][place].as_py()}",
                where=f"score.{self.score}",
                remedy="shift or clip the scores, or take the best rows with strategy: random and order: score",
            )
        weights: NDArray[np.float64] = scores**self.power
        return weights


class Weighted(Strategy):
    """Draw rows by a score: chances in proportion to it, or the highest first."""

    obeys: ClassVar[frozenset[str]] = frozenset({FLOOR, CAP})
    goal: ClassVar[Goal] = "weights"

    name: Literal["weighted"] = "weighted"
    by: str = Field(min_length=1, description="The score that is the weight of a row, >= 0; 0 is never drawn.")
    draw: Draw = Field(
        "poisson",
        description="poisson: inclusion probabilities in proportion to the weight, at most 1; gumbel: one by one in "
        "proportion to it; top: the largest first.",
    )
    power: float = Field(1.0, ge=-16, le=16, description="Exponent of the score; below 0 prefers small ones.")
    within: Within = Field("pool", description="leaves: the same quota for every leaf, weights inside it.")

    def obeyed(self) -> frozenset[str]:
        """Return what the rule keeps: the largest of the whole pool know no leaves."""
        return frozenset() if (self.draw, self.within) == ("top", "pool") else self.obeys

    def reads(self) -> tuple[str, ...]:
        """Return the score."""
        return (f"score.{self.by}",)

    def needs_scores(self) -> tuple[str, ...]:
        """Return the score."""
        return (self.by,)

    def plan(self, problem: SamplingProblem) -> DrawPlan:
        """Return a draw from the pool, or from every leaf, by the score."""
        columns = [f"score.{self.by}"]
        problem.rows.check(columns)
        weights = ScoreWeights(self.by, self.power)
        return weighted_plan(problem, weights, columns, within=self.within, draw=self.draw)
