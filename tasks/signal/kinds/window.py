"""The bin of difficulty that a row is in, easy to hard, for a window that slides over the bins in training.

Source: SeTa (arXiv 2503.13385), which groups rows by their loss, trains on a window of groups, and moves it from easy
to hard. Its groups are k-means clusters of the loss; here they hold equally many rows, so that every window costs the
same.
"""

from collections.abc import Mapping
from typing import Literal

import numpy as np
from pydantic import Field

from evenkeel.infra.dtypes import Float64Array
from evenkeel.tasks.signal.signal import Fit, Signal
from evenkeel.tasks.signal.source import SignalSource
from evenkeel.tasks.step import Run
from evenkeel.tasks.workload import Workload


class Window(Signal):
    """Bin of a row's loss, 0 (easiest) to bins - 1; the filter `keep: "window >= 4 and window < 14"` is a window."""

    kind: Literal["window"] = "window"
    of: str = Field(min_length=1, description="Column of the loss, or of any difficulty.")
    bins: int = Field(20, ge=2, le=1000, description="Bins of equally many rows.")
    by: str = Field("", description="Column of groups, each with bins of its own; empty = all rows together.")

    def columns(self) -> tuple[str, ...]:
        """Return the column of the loss, and that of groups."""
        return (self.of, self.by) if self.by else (self.of,)

    def fit(self, source: SignalSource, folder: str, run: Run) -> Mapping[str, object]:
        """Sketch the losses of every group."""
        from evenkeel.tasks.signal.quantiles import fit_ranks

        return fit_ranks(source, self.of, self.by, folder, run)

    def compute(self, source: SignalSource, block: str, fit: Fit) -> Float64Array:
        """Return the bins of the rows of a block; NaN for a row without a loss."""
        from evenkeel.tasks.signal.quantiles import ranks_of_block

        ranks = ranks_of_block(source, self.of, fit.folder, fit.scratch, block)
        bins: Float64Array = np.minimum(np.floor(ranks * self.bins), self.bins - 1.0)
        return bins

    def cost(self, work: Workload) -> float:
        """Return the CPU-seconds of a pool: three passes over one column, and a binary search in two of them."""
        return 0.1 + 6e-7 * work.rows
