"""The same chance for every row: the baseline."""

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from evenkeel.tasks.sample.options import Random
from evenkeel.tasks.sample.plan import Candidates, Plan
from evenkeel.tasks.sample.quotas.allocation import water_fill


def plan(options: Random, candidates: Candidates) -> Plan:
    """Return one cell that holds every row."""
    sizes = np.array([candidates.tree.rows])
    return Plan(water_fill(candidates.limits.max_repeats * sizes, candidates.target), sizes, cells_of=one_cell)


def one_cell(table: pa.Table, block: str) -> NDArray[np.int64]:
    """Return cell 0 for every row, (n,) int64."""
    return np.zeros(table.num_rows, np.int64)
