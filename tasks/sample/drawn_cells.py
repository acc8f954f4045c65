"""Count what was drawn of every cell of a plan, and how many rows its weights favour, from the rows that were kept."""

from dataclasses import dataclass
from functools import partial

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from evenkeel.infra.compute import Compute
from evenkeel.infra.tables import read_range
from evenkeel.tasks.sample.candidates import CandidateRows
from evenkeel.tasks.sample.draw_plan import DrawPlan


@dataclass(frozen=True)
class CellCounts:
    """What some kept rows add up to, by cell.

    cells: (c,) int64, ascending. copies: (c,) int64. weight, square: (c,) float64, estimates of the sum of the weights,
    and of their squares, over all rows of the pool in the cell.
    """

    cells: NDArray[np.int64]
    copies: NDArray[np.int64]
    weight: NDArray[np.float64]
    square: NDArray[np.float64]


def cell_table(plan: DrawPlan, kept: NDArray[np.int64]) -> pa.Table:
    """Return one row per cell of a plan: cell, size, quota, and kept, the copies that were drawn of it."""
    cell = np.arange(len(plan.sizes))
    return pa.table({"cell": cell, "size": plan.sizes, "quota": plan.allocation.quotas, "kept": kept})


def count_cells(plan: DrawPlan, rows: CandidateRows, selection: str, compute: Compute) -> CellCounts:
    """Return the counts of all cells of a plan; selection: where the rows that were drawn lie.

    The rows are read anew and asked for their cell and weight, so the counts hold whatever was drawn. A block reports
    the cells of its kept rows alone, so memory is bounded by the target.
    """
    count = partial(_count, plan=plan.to_send(), rows=rows, selection=selection)
    found = compute.reduce(count, _merge, rows.blocks, work=rows.pool.rows * 40)
    copies = np.zeros(len(plan.sizes), np.int64)
    weight, square = np.zeros((2, len(plan.sizes)))
    if found is not None:
        copies[found.cells], weight[found.cells], square[found.cells] = found.copies, found.weight, found.square
    return CellCounts(np.arange(len(copies)), copies, weight, square)


def effective_share(plan: DrawPlan, counted: CellCounts) -> float:
    """Return the rows that the weights favour, cell by cell at most the quota, as a share of all quotas.

    A cell's is its effective sample size over the pool, (sum w)^2 / sum w^2 (Kish 1965), with both sums estimated from
    the kept rows and their inclusion probabilities. Where a cell gives all its rows, weights have no say.
    """
    quotas = plan.allocation.quotas.astype(np.float64)
    favoured = counted.weight**2 / np.where(counted.square > 0, counted.square, 1.0)
    whole = (plan.sizes <= plan.allocation.quotas) | (counted.square <= 0)
    return float(np.where(whole, quotas, np.minimum(favoured, quotas)).sum() / max(quotas.sum(), 1.0))


def _count(block: str, plan: DrawPlan, rows: CandidateRows, selection: str) -> CellCounts:
    row_id = rows.ids(block)
    if not len(row_id):
        return CellCounts(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0), np.empty(0))
    kept = read_range(selection, int(row_id[0]), int(row_id[-1]))
    places = np.searchsorted(row_id, kept["row_id"].to_numpy())
    part = rows.table(block, ("identity", *plan.columns), places)
    leaf = part["leaf"].to_numpy().astype(np.int64)
    cells, place = np.unique(leaf if plan.cells_of is None else plan.cells_of(part, block), return_inverse=True)
    copies = np.bincount(place, kept["copies"].to_numpy(), len(cells)).astype(np.int64)
    if plan.weights_of is None:
        return CellCounts(cells, copies, np.zeros(len(cells)), np.zeros(len(cells)))
    weight, represented = plan.weights_of(part, block), kept["weight"].to_numpy()
    total = np.bincount(place, represented * weight, len(cells)).astype(np.float64)
    square = np.bincount(place, represented * weight**2, len(cells)).astype(np.float64)
    return CellCounts(cells, copies, total, square)


def _merge(one: CellCounts, other: CellCounts) -> CellCounts:
    cells, place = np.unique(np.concatenate([one.cells, other.cells]), return_inverse=True)
    copies = np.rint(np.bincount(place, np.concatenate([one.copies, other.copies]), len(cells))).astype(np.int64)
    weight = np.bincount(place, np.concatenate([one.weight, other.weight]), len(cells)).astype(np.float64)
    square = np.bincount(place, np.concatenate([one.square, other.square]), len(cells)).astype(np.float64)
    return CellCounts(cells, copies, weight, square)
