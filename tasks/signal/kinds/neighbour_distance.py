"""How far a row lies from the rows nearest to it: the distance to the k-th nearest neighbour.

Source: Ramaswamy, Rastogi and Shim 2000 (outliers by the distance to the k-th neighbour).
"""

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from evenkeel.infra.dtypes import Float64Array
from evenkeel.tasks.signal.neighbouring import Neighbouring
from evenkeel.tasks.signal.signal import Fit
from evenkeel.tasks.signal.source import SignalSource
from evenkeel.tasks.step import Run


class NeighbourDistance(Neighbouring):
    """Distance of a row's vector to its k-th nearest neighbour; outliers are high, duplicates 0."""

    kind: Literal["neighbour-distance"] = "neighbour-distance"
    k: int = Field(10, ge=1, le=100, description="Which neighbour.")

    def fit(self, source: SignalSource, folder: str, run: Run) -> Mapping[str, object]:
        """Find the neighbours."""
        return self.find(source, folder, run, label="", k=self.k)

    def compute(self, source: SignalSource, block: str, fit: Fit) -> Float64Array:
        """Return the distances of the rows of a block; NaN for a row without neighbours."""
        return self.found(source, block, fit)
