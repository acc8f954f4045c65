"""Choose the rows that a target set asks for, alone or blended with balance.

Sources: DSIR (arXiv 2302.03169), BETR (arXiv 2507.12466), GOT-D (arXiv 2405.02774), SnP (arXiv 2303.16186). The signal
`toward` says how much a row belongs to the target; gumbel draws in proportion to the weight whose log that is, top
takes the largest. Noise drowns scores that are bounded, so it is for sums of log ratios alone.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, Literal, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import Field, model_validator

from evenkeel.expectations.goals import Goal
from evenkeel.infra.hashing import uniform
from evenkeel.tasks.sample.balanced.config import KernelDensityConfig, PartitionConfig
from evenkeel.tasks.sample.draw_plan import DrawPlan, one_cell_plan
from evenkeel.tasks.sample.problem import SamplingProblem
from evenkeel.tasks.sample.quotas.allocation import Allocation
from evenkeel.tasks.sample.strategies.balanced import Balanced
from evenkeel.tasks.sample.strategy import CAP, FLOOR, Strategy
from evenkeel.tasks.sample.weigh import weigh
from evenkeel.tasks.signal.signal import Signal
from evenkeel.tasks.signal.toward.options import TowardOptions

SIGNAL = "toward"
COLUMNS = (f"score.{SIGNAL}", "identity")
LOG_WEIGHTS = ("ngrams", "clusters")
SEED = 0x746F_7761


@dataclass(frozen=True)
class TargetWeights:
    """The weight of a row: its signal as a positive number, with Gumbel noise of its identity where it is drawn.

    The rows with the largest log weight + Gumbel noise are those of a draw one by one in proportion to the weights. The
    log itself is kept, since weights of long texts are beyond any floating-point number.
    """

    draw: Literal["gumbel", "top"]
    seed: int

    def __call__(self, table: pa.Table, block: str) -> NDArray[np.float64]:
        """Return weights that grow with the signal, (n,) float64; 0 for a row that has no value."""
        value = table[f"score.{SIGNAL}"].to_numpy().astype(np.float64)
        if self.draw == "gumbel":
            value = value - np.log(-np.log(uniform(self.seed + SEED, table["identity"].to_numpy())))
        return np.where(np.isnan(value), 0.0, positive(np.nan_to_num(value)))


def positive(value: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return value + sqrt(value^2 + 1), (n,) float64: positive and rising, without overflow for any finite value."""
    root = np.hypot(value, 1.0)
    return np.where(value >= 0, value + root, 1.0 / (root - np.minimum(value, 0.0)))


class Toward(TowardOptions, Strategy):
    """Choose the rows that resemble the target set."""

    obeys: ClassVar[frozenset[str]] = frozenset({FLOOR, CAP})
    goal: ClassVar[Goal] = "target"

    name: Literal["toward"] = "toward"
    draw: Literal["gumbel", "top"] | None = Field(
        None,
        description="gumbel: one by one in proportion to the weights; top: the largest first. Empty = what suits the "
        "rule: gumbel by ngrams (summed), else top.",
    )
    toward: float = Field(
        1.0, ge=0, le=1, description="Share of the target's pull; the rest of every leaf's quota is that of `balanced`."
    )

    @model_validator(mode="after")
    def _draws_weights(self) -> Self:
        """Refuse noise on what is no logarithm of a weight: it would drown a bounded score."""
        weights = self.by in LOG_WEIGHTS or (self.by, self.teacher) == ("classifier", "membership")
        if self.draw == "gumbel" and not weights:
            raise ValueError(f"draw: gumbel needs the log of a weight, which by: {self.by} is not here; use draw: top")
        return self

    @property
    def blended(self) -> bool:
        """Whether leaves have quotas that are partly those of `balanced`."""
        return self.toward < 1

    def how(self) -> Literal["gumbel", "top"]:
        """Return how weights are drawn: as the recipe says, or as suits the rule."""
        return self.draw or ("gumbel" if self.by == "ngrams" and not self.per_token else "top")

    def signals(self) -> list[Signal]:
        """Return the signal of how much a row belongs to the target."""
        from evenkeel.tasks.signal.kinds.toward import TowardSignal

        options = {name: getattr(self, name) for name in TowardOptions.model_fields}
        if self.assign is None and self.how() == "gumbel":
            options["assign"] = "hard"  # noise would draw from everything that the window of soft assignment reaches
        return [TowardSignal.model_validate({"name": SIGNAL, **options})]

    def with_amount(self, amount: float | None) -> Self:
        """Return it with how much will be taken, for the rule that goes by it."""
        asks = self.by == "transport" and self.take is None and (self.target is None or self.target.seen is None)
        return self.model_copy(update={"take": amount}) if asks and amount is not None else self

    def with_paths(self, absolute: Callable[[str], str]) -> Self:
        """Return it with the paths of the target's files made absolute."""
        return self if self.target is None else self.model_copy(update={"target": self.target.with_paths(absolute)})

    def obeyed(self) -> frozenset[str]:
        """Return what the rule keeps: floor and cap where leaves have quotas."""
        return self.obeys if self.blended else frozenset()

    def partition_config(self) -> PartitionConfig | None:
        """Return the partitions that `balanced` measures on, where it has a part."""
        return Balanced().partition_config() if self.blended else None

    def density_config(self) -> KernelDensityConfig | None:
        """Return the kernel density that `balanced` weighs by, where it has a part."""
        return Balanced().density_config() if self.blended else None

    def reads(self) -> tuple[str, ...]:
        """Return the signal that the rule brings."""
        return (f"score.{SIGNAL}",)

    def plan(self, problem: SamplingProblem) -> DrawPlan:
        """Return the rows with the largest weights of the pool, or of every leaf by quotas between two."""
        whole = self._whole(problem)
        if not self.blended:
            return whole
        even = Balanced().leaf_plan(problem)
        allocation = self.blend(self.rows_of_leaves(problem), even.allocation.quotas, problem)
        facts = {**whole.facts, "balanced": _chosen(even.facts)}
        return DrawPlan(allocation, problem.tree.sizes, None, whole.weights_of, COLUMNS, facts=facts, draw="top")

    def rows_of_leaves(self, problem: SamplingProblem) -> NDArray[np.float64]:
        """Return how many rows of every leaf the largest weights of the pool are, (leaves,) float64.

        Rows in the bin of weights that the target cuts count in part.
        """
        from evenkeel.tasks.sample.weigh import BINS

        sketch = weigh(replace(self._whole(problem), cells_of=None), problem.rows, "", problem.compute)
        bins = sketch.keys % BINS
        held = np.bincount(bins, sketch.counts, BINS)
        above = np.cumsum(held[::-1])[::-1] - held
        part = np.clip((problem.target - above) / np.maximum(held, 1), 0.0, 1.0)
        return np.bincount(sketch.cell, sketch.counts * part[bins], problem.tree.leaves).astype(np.float64)

    def blend(self, pulled: NDArray[np.float64], even: NDArray[np.int64], problem: SamplingProblem) -> Allocation:
        """Return the quotas of every leaf between those of the target's pull and those of balance, (leaves,) each."""
        return problem.fill(np.maximum(self.toward * pulled + (1 - self.toward) * even, 1e-9))

    def _whole(self, problem: SamplingProblem) -> DrawPlan:
        """Return the plan that takes the largest weights of the pool, whatever their leaves."""
        problem.rows.check([f"score.{SIGNAL}"])
        draw = self.how()
        facts: dict[str, object] = {"draw": draw, "by": self.by, "toward": self.toward}
        weights = TargetWeights(draw, problem.seed)
        return replace(one_cell_plan(problem, problem.tree.rows, weights, COLUMNS, facts), draw="top")


def _chosen(facts: Mapping[str, object]) -> object:
    return facts.get("chosen", "")
