"""Where a row's number stands among those of all rows, or of its group: its rank, in [0, 1].

Source: rank normalisation of quality scores (QuaDMix, arXiv 2504.16511); by group, it makes thresholds fair to each.
"""

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from evenkeel.infra.dtypes import Float64Array
from evenkeel.tasks.signal.signal import Fit, Signal
from evenkeel.tasks.signal.source import SignalSource
from evenkeel.tasks.step import Run
from evenkeel.tasks.workload import Workload


class Rank(Signal):
    """Share of the rows below a row's number, rows with the same counted half: 0.9 is better than nine tenths."""

    kind: Literal["rank"] = "rank"
    of: str = Field(min_length=1, description="Column of numbers: a score, a signal or the source's own.")
    by: str = Field("", description="Column of groups, each ranked on its own; empty = all rows together.")

    def columns(self) -> tuple[str, ...]:
        """Return the column of numbers, and that of groups."""
        return (self.of, self.by) if self.by else (self.of,)

    def fit(self, source: SignalSource, folder: str, run: Run) -> Mapping[str, object]:
        """Sketch the numbers of every group."""
        from evenkeel.tasks.signal.quantiles import fit_ranks

        return fit_ranks(source, self.of, self.by, folder, run)

    def compute(self, source: SignalSource, block: str, fit: Fit) -> Float64Array:
        """Return the ranks of the rows of a block; NaN for a row without a number."""
        from evenkeel.tasks.signal.quantiles import ranks_of_block

        return ranks_of_block(source, self.of, fit.folder, fit.scratch, block)

    def cost(self, work: Workload) -> float:
        """Return the CPU-seconds of a pool: three passes over one column, and a binary search in two of them."""
        return 0.1 + 6e-7 * work.rows
