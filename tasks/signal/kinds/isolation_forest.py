"""How easily a row is parted from all others: the score of an isolation forest on the vectors.

Source: Liu, Ting and Zhou 2008; UPCORE (arXiv 2502.15082) leaves the outliers of a topic's embeddings out by it.
"""

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from evenkeel.infra.dtypes import Float64Array
from evenkeel.tasks.signal.signal import Fit, Part, Signal
from evenkeel.tasks.signal.source import SignalSource
from evenkeel.tasks.step import Run
from evenkeel.tasks.workload import Workload


class IsolationForest(Signal):
    """How easily random cuts part a row's vector from all others, in (0, 1]; outliers are high."""

    kind: Literal["isolation-forest"] = "isolation-forest"
    trees: int = Field(100, ge=1, le=1000, description="Trees, each grown on 256 rows.")
    within: str = Field("", description="Column of groups, each with a forest of its own; empty = one for all rows.")
    contamination: float | None = Field(
        None,
        gt=0,
        lt=0.5,
        description="Share of outliers, of each group: the value is then the score less the one that so many rows "
        "exceed, so that outliers are above 0. Empty = the score itself.",
    )
    seed: int = Field(0, ge=0, lt=2**63, description="The same seed and rows give the same trees.")

    def needs(self) -> frozenset[Part]:
        """Return the vectors."""
        return frozenset({"vectors"})

    def columns(self) -> tuple[str, ...]:
        """Return the column of groups, if any."""
        return (self.within,) if self.within else ()

    def fit(self, source: SignalSource, folder: str, run: Run) -> Mapping[str, object]:
        """Grow the forests."""
        from evenkeel.tasks.signal.forests import grow_forests

        return grow_forests(source, self.within, self.trees, self.contamination, self.seed, folder, run)

    def compute(self, source: SignalSource, block: str, fit: Fit) -> Float64Array:
        """Return the scores of the rows of a block; NaN in a group of fewer than eight rows."""
        from evenkeel.tasks.signal.forests import isolation_of_block

        return isolation_of_block(source, self.within, fit.folder, fit.scratch, block)

    def cost(self, work: Workload) -> float:
        """Return the CPU-seconds of a pool: eight comparisons a tree for every row; growing them is nothing."""
        return 0.5 + work.rows * (1e-8 * self.trees + 1e-9 * work.dimension)
