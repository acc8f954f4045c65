"""Several scores as one: a weighted sum after each is brought to a common scale.

Source: Meta-rater (arXiv 2504.14194), whose weights come from a regression on the results of small models; QuaDMix
(arXiv 2504.16511) blends ranks by domain.
"""

from collections.abc import Mapping
from typing import Literal

from pydantic import Field, field_validator

from evenkeel.infra.dtypes import Float64Array
from evenkeel.tasks.signal.signal import Fit, Signal
from evenkeel.tasks.signal.source import SignalSource
from evenkeel.tasks.step import Run
from evenkeel.tasks.workload import Workload


class Mixture(Signal):
    """Weighted sum of columns, each normalised over all rows or inside its group."""

    kind: Literal["mixture"] = "mixture"
    mix: dict[str, float] = Field(
        min_length=1,
        max_length=32,
        description='Weight of every column; "-perplexity: 0.2" is the weight -0.2 of perplexity.',
    )
    normalise: Literal["rank", "zscore", "minmax"] = Field(
        "rank",
        description="rank = share of the rows below, in [0, 1]; zscore = less the mean, over the standard deviation; "
        "minmax = from 0 for the least to 1 for the greatest.",
    )
    by: str = Field("", description="Column of groups, each normalised on its own; empty = all rows together.")

    @field_validator("mix")
    @classmethod
    def _named_once(cls, mix: dict[str, float]) -> dict[str, float]:
        names = [name.removeprefix("-") for name in mix]
        if twice := sorted({name for name in names if not name or names.count(name) > 1}):
            raise ValueError(f"{twice[0] or '-'} is named twice, or not at all; give each column one weight")
        return mix

    def weights(self) -> dict[str, float]:
        """Return the weight of every column by its name, signs resolved."""
        return {
            name.removeprefix("-"): -weight if name.startswith("-") else weight for name, weight in self.mix.items()
        }

    def columns(self) -> tuple[str, ...]:
        """Return the columns that are mixed, and that of groups."""
        return (*self.weights(), self.by) if self.by else tuple(self.weights())

    def fit(self, source: SignalSource, folder: str, run: Run) -> Mapping[str, object]:
        """Find the scale of every column."""
        from evenkeel.tasks.signal.scaling import fit_scales

        return fit_scales(source, tuple(self.weights()), self.normalise, self.by, folder, run)

    def compute(self, source: SignalSource, block: str, fit: Fit) -> Float64Array:
        """Return the sums of the rows of a block; NaN for a row that lacks one of the columns."""
        from evenkeel.tasks.signal.scaling import mixture_of_block

        return mixture_of_block(source, self.weights(), self.normalise, fit.folder, fit.scratch, block)

    def cost(self, work: Workload) -> float:
        """Return the CPU-seconds of a pool: two or three passes over each column."""
        return 0.1 + 6e-7 * work.rows * len(self.mix)
