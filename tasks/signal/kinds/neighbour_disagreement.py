"""How many of a row's nearest neighbours have another label: near 1 for wrong labels, between for rows at a border.

Source: k-nearest-neighbour editing (Wilson 1972); GAIS keeps the rows at a border as the instances that matter.
"""

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from evenkeel.infra.dtypes import Float64Array
from evenkeel.tasks.signal.neighbouring import Neighbouring
from evenkeel.tasks.signal.signal import Fit
from evenkeel.tasks.signal.source import SignalSource
from evenkeel.tasks.step import Run


class NeighbourDisagreement(Neighbouring):
    """Share of a row's k nearest neighbours whose label is not its own; 0 inside a class, near 1 for a wrong label."""

    kind: Literal["neighbour-disagreement"] = "neighbour-disagreement"
    group: str = Field(
        min_length=1, description="Column of labels; rows without one are neither measured nor compared with."
    )
    k: int = Field(10, ge=1, le=100, description="How many neighbours.")

    def columns(self) -> tuple[str, ...]:
        """Return the column of labels."""
        return (self.group,)

    def fit(self, source: SignalSource, folder: str, run: Run) -> Mapping[str, object]:
        """Find the neighbours among the rows that have a label."""
        return self.find(source, folder, run, label=self.group, k=self.k)

    def compute(self, source: SignalSource, block: str, fit: Fit) -> Float64Array:
        """Return the shares of the rows of a block; NaN for a row without a label or without neighbours."""
        return self.found(source, block, fit)
