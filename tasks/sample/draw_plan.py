"""What a strategy returns: the cell of each row, the quota of each cell, and the weight of each row."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from evenkeel.tasks.sample.problem import SamplingProblem
from evenkeel.tasks.sample.quotas.allocation import Allocation, water_fill

CellsOf = Callable[[pa.Table, str], NDArray[np.int64]]
WeightsOf = Callable[[pa.Table, str], NDArray[np.float64]]
Order = Literal["hash", "closest", "furthest", "score", "diverse"]
Draw = Literal["poisson", "gumbel", "top"]


@dataclass(frozen=True)
class DrawPlan:
    """How rows are drawn: how many of every cell, and in proportion to which weights.

    allocation: quotas and expected shares per cell. sizes: (cells,) int64. cells_of: the cell of each row, (n,) int64,
    given a table of `CandidateRows` and its block; None = its leaf. weights_of: relative weights inside a cell, (n,)
    float64 >= 0; None = equal. columns: what these two read. order: which rows of a cell come first; None = as the
    recipe says. draw: how weights are read: poisson = inclusion probabilities in proportion to them, gumbel = drawn one
    by one in proportion to them, top = the largest first (`chances.py`). copies: of a row at most where rows have
    weights; None = as the recipe says. facts: what was chosen and why, as JSON. measured: what every rule that was
    compared measured. beside: small tables with a row for every row drawn, by name, that lie beside the selection.
    """

    allocation: Allocation
    sizes: NDArray[np.int64]
    cells_of: CellsOf | None = None
    weights_of: WeightsOf | None = None
    columns: Sequence[str] = ()
    order: Order | None = None
    draw: Draw = "poisson"
    copies: int | None = None
    facts: Mapping[str, object] = field(default_factory=dict)
    measured: Mapping[str, float] = field(default_factory=dict)
    beside: Mapping[str, pa.Table] = field(default_factory=dict)

    def to_send(self) -> "DrawPlan":
        """Return the plan without what grows with the number of cells, for a worker that only weighs rows."""
        none = np.empty(0, np.int64)
        return replace(self, allocation=Allocation(none, np.empty(0)), sizes=none, facts={}, measured={}, beside={})


def one_cell_plan(
    problem: SamplingProblem,
    rows: int,
    weights_of: WeightsOf | None = None,
    columns: Sequence[str] = (),
    facts: Mapping[str, object] | None = None,
    draw: Draw = "poisson",
    copies: int | None = None,
) -> DrawPlan:
    """Return a plan that draws the target from one cell; rows: how many rows of the pool may be drawn."""
    sizes = np.array([rows])
    allocation = water_fill((copies or problem.limits.max_repeats) * sizes, problem.target)
    return DrawPlan(allocation, sizes, one_cell, weights_of, columns, facts=facts or {}, draw=draw, copies=copies)


def one_cell(table: pa.Table, block: str) -> NDArray[np.int64]:
    """Return cell 0 for every row, (n,) int64."""
    return np.zeros(table.num_rows, np.int64)
