"""Weigh the rows of a plan: write the weight of every row, and count rows by cell and size of weight.

The sketch has eight bins for each doubling of the weight, in every cell that has rows there. It is a sum over blocks,
so its size follows from the cells and not from the blocks.
"""

from dataclasses import dataclass
from functools import partial

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from evenkeel.infra import storage
from evenkeel.infra.arrays import read_array, write_array
from evenkeel.infra.compute import Compute
from evenkeel.infra.errors import RecipeError
from evenkeel.tasks.sample.candidates import CandidateRows
from evenkeel.tasks.sample.draw_plan import DrawPlan

BINS, MIDDLE, STEPS = 1 << 15, 1 << 14, 8


@dataclass(frozen=True)
class WeightSketch:
    """Rows with a weight above zero, counted by cell and bin of the weight.

    keys: (m,) int64 ascending, cell * BINS + bin. counts: (m,) int64. sums: (m,) float64 of the weights.
    """

    keys: NDArray[np.int64]
    counts: NDArray[np.int64]
    sums: NDArray[np.float64]

    @classmethod
    def of(cls, cell: NDArray[np.int64], weight: NDArray[np.float64]) -> "WeightSketch":
        """Return the sketch of some rows."""
        held = weight > 0
        weight = weight[held]
        slot = np.floor(np.log2(weight) * STEPS).astype(np.int64) + MIDDLE
        return cls.summed(cell[held] * BINS + slot, np.ones(len(weight)), weight)

    def add(self, other: "WeightSketch") -> "WeightSketch":
        """Return the sketch of the rows of both."""
        keys = np.concatenate([self.keys, other.keys])
        return self.summed(keys, np.concatenate([self.counts, other.counts]), np.concatenate([self.sums, other.sums]))

    @classmethod
    def summed(
        cls, keys: NDArray[np.int64], counts: NDArray[np.int64] | NDArray[np.float64], sums: NDArray[np.float64]
    ) -> "WeightSketch":
        """Return the sketch of bins, some of them more than once."""
        known, place = np.unique(keys, return_inverse=True)
        counted = np.rint(np.bincount(place, counts, len(known))).astype(np.int64)
        return cls(known, counted, np.bincount(place, sums, len(known)).astype(np.float64))

    @property
    def cell(self) -> NDArray[np.int64]:
        """Return the cell of every bin, (m,) int64."""
        return self.keys // BINS

    def rows(self, cells: int) -> NDArray[np.int64]:
        """Return how many rows of every cell have a weight above zero, (cells,) int64."""
        return np.rint(np.bincount(self.cell, self.counts, cells)).astype(np.int64)

    def totals(self, cells: int) -> NDArray[np.float64]:
        """Return the sum of the weights of every cell, (cells,) float64."""
        return np.bincount(self.cell, self.sums, cells).astype(np.float64)

    def scale(self, wanted: NDArray[np.float64], copies: int) -> NDArray[np.float64]:
        """Return `scale_of_cells` with each bin's rows taken as equal, (cells,); within a few parts in 10,000."""
        from evenkeel.tasks.sample.scale import scale_of_cells

        none = np.zeros(len(wanted))
        return scale_of_cells(self.cell, self.sums / self.counts, self.counts, none, wanted, copies)

    def lower_bounds(self, wanted: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return a weight that `wanted` rows of each cell reach, (cells,); 0 where the cell has fewer."""
        place = np.arange(len(self.keys))[::-1]
        counts, cell = self.counts[::-1], self.cell[::-1]
        above = np.cumsum(counts)
        starts = np.flatnonzero(np.diff(cell, prepend=-1))
        inside = above - np.repeat((above - counts)[starts], np.diff(starts, append=len(cell)))
        enough = inside >= wanted[cell]
        bounds = np.zeros(len(wanted))
        slot = self.keys[place[enough]] % BINS - MIDDLE
        np.maximum.at(bounds, cell[enough], np.exp2(slot / STEPS) * (1 - 1e-9))
        return bounds


def weigh(plan: DrawPlan, rows: CandidateRows, folder: str, compute: Compute) -> WeightSketch:
    """Write the weights of all rows to a folder, and return their sketch. Raises RecipeError for a wrong weight."""
    weighing = partial(weigh_block, rows=rows, plan=plan.to_send(), folder=folder)
    sketch = compute.reduce(weighing, WeightSketch.add, rows.blocks, work=rows.pool.rows * 60)
    return WeightSketch.of(np.empty(0, np.int64), np.empty(0)) if sketch is None else sketch


def weigh_block(block: str, rows: CandidateRows, plan: DrawPlan, folder: str) -> WeightSketch:
    """Write cell and weight of the rows of a block, and return their sketch."""
    table = rows.table(block, plan.columns)
    cell = cells_of(plan, table, block)
    assert plan.weights_of is not None
    weight = _checked(plan.weights_of(table, block), table["row_id"].to_numpy())
    if folder:
        write_array(storage.join(folder, f"{block}-cell.npy"), cell.astype(np.int64))
        write_array(storage.join(folder, f"{block}-weight.npy"), weight.astype(np.float64))
    return WeightSketch.of(cell, weight)


def read_weights(folder: str, block: str) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return cell and weight of the rows of a block, as `weigh_block` wrote them."""
    cell, weight = (read_array(storage.join(folder, f"{block}-{name}.npy")) for name in ("cell", "weight"))
    return cell, weight


def cells_of(plan: DrawPlan, table: pa.Table, block: str) -> NDArray[np.int64]:
    """Return the cell of the rows of a table, (n,) int64: the leaf where the plan has no cells of its own."""
    return table["leaf"].to_numpy().astype(np.int64) if plan.cells_of is None else plan.cells_of(table, block)


def _checked(weight: NDArray[np.float64], row_id: NDArray[np.uint64]) -> NDArray[np.float64]:
    """Return the weights of rows; raise RecipeError where one is negative or not finite."""
    wrong = ~(np.isfinite(weight) & (weight >= 0))
    if wrong.any():
        raise RecipeError(
            "the sampling weight of a row is not a finite number >= 0",
            found=f"{weight[np.argmax(wrong)]} at row_id {row_id[np.argmax(wrong)]}",
            where="sampling.strategy",
            remedy="check the score columns that it is made of",
        )
    return weight
