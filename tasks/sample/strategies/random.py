"""The same chance for every row: the baseline."""

from typing import Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from evenkeel.tasks.sample.draw_plan import DrawPlan
from evenkeel.tasks.sample.problem import SamplingProblem
from evenkeel.tasks.sample.quotas.allocation import water_fill
from evenkeel.tasks.sample.strategy import Strategy


class Random(Strategy):
    """Give every row the same chance."""

    name: Literal["random"] = "random"

    def plan(self, problem: SamplingProblem) -> DrawPlan:
        """Return one cell that holds every row."""
        sizes = np.array([problem.tree.rows])
        return DrawPlan(water_fill(problem.limits.max_repeats * sizes, problem.target), sizes, cells_of=one_cell)


def one_cell(table: pa.Table, block: str) -> NDArray[np.int64]:
    """Return cell 0 for every row, (n,) int64."""
    return np.zeros(table.num_rows, np.int64)
