"""How much a row decides a linear model on the vectors: its leverage.

Source: leverage (sensitivity) sampling for regression (Drineas et al. 2006; Ma et al. 2015).
"""

from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import Field

from evenkeel.infra.dtypes import Float64Array
from evenkeel.tasks.signal.signal import Fit, Part, Signal
from evenkeel.tasks.signal.source import SignalSource
from evenkeel.tasks.step import Run
from evenkeel.tasks.workload import Workload


class Leverage(Signal):
    """Leverage of a row's vector, x' (X'X + rI)^-1 x, in [0, 1]; without a ridge they sum to the rank."""

    version: ClassVar[int] = 2

    kind: Literal["leverage"] = "leverage"
    ridge: float = Field(0.0, ge=0, description="r, added to the diagonal of X'X; damps directions of little variance.")

    def needs(self) -> frozenset[Part]:
        """Return the vectors."""
        return frozenset({"vectors"})

    def fit(self, source: SignalSource, folder: str, run: Run) -> Mapping[str, object]:
        """Sum X'X over the pool."""
        from evenkeel.tasks.signal.leverage import fit_leverages

        return fit_leverages(source, self.ridge, folder, run)

    def compute(self, source: SignalSource, block: str, fit: Fit) -> Float64Array:
        """Return the leverages of the rows of a block."""
        from evenkeel.tasks.signal.leverage import leverages_of_block

        return leverages_of_block(source, fit.folder, fit.scratch, block)

    def cost(self, work: Workload) -> float:
        """Return the CPU-seconds of a pool: X'X in float64, and half a square matrix, mostly in float32."""
        return 0.1 + work.rows * (5e-7 + 6e-11 * work.dimension**2) + 2e-9 * work.dimension**3
