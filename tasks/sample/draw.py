"""Draw the rows of a plan: the first rows of every cell in order, found block by block in bounded memory."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from evenkeel.infra import storage
from evenkeel.infra.arrays import map_array, write_array
from evenkeel.infra.errors import RecipeError
from evenkeel.infra.hashing import hash_identities, uniform
from evenkeel.infra.tables import read_table, write_table
from evenkeel.tasks.sample.candidates import CandidateRows, Columns, score_of
from evenkeel.tasks.sample.config import SamplingConfig
from evenkeel.tasks.sample.diverse import CANDIDATES, choose_diverse
from evenkeel.tasks.sample.draw_plan import CellsOf, DrawPlan, Order, WeightsOf
from evenkeel.tasks.step import Run

MERGE_ROWS = 1 << 22


@dataclass(frozen=True)
class Drawing:
    """What a worker needs to find the first rows of every cell in a block.

    folder: holds `needs.npy`, how many rows of each cell are needed at most, and receives the rows of each block.
    carry: columns of the pool that are added to the selection for the caller.
    """

    rows: CandidateRows
    folder: str
    scratch: str
    order: Order
    score: str
    seed: int
    max_repeats: int
    cells_of: CellsOf | None
    weights_of: WeightsOf | None
    columns: tuple[str, ...]
    carry: tuple[str, ...]


def draw(
    config: SamplingConfig, plan: DrawPlan, rows: CandidateRows, folder: str, run: Run, carry: tuple[str, ...] = ()
) -> pa.Table:
    """Return the selection: row_id uint64, copies int32, weight float64, leaf int32, sorted by row_id.

    Rows of a cell come by the smallest hash(seed, identity), by distance, or by score; ties by row_id. With weights, by
    the smallest -log(u) / weight of `max_repeats` copies of every row, which is sampling in proportion to the weights
    without replacement (Gumbel top-k). The column weight is 1 / inclusion probability: quota over size in a cell of
    equal rows (the expected share, where that is below one row), and 1 - exp(-weight * threshold) where rows have
    weights, the threshold being the first value left out (bottom-k sketches; Cohen and Kaplan 2007). Memory is bounded
    by the target, not by the pool.
    """
    order, score, max_repeats = plan.order or config.order, config.score, config.max_repeats
    quotas, weighted = plan.allocation.quotas, plan.weights_of is not None
    diverse = order == "diverse" and not weighted
    needs = quotas + 1 if weighted else np.minimum(quotas * (CANDIDATES if diverse else 1), plan.sizes)
    write_array(storage.join(folder, "needs.npy"), needs)
    needed = {"closest": "distance", "furthest": "distance", "score": f"score.{score}"}.get(order, "identity")
    columns = tuple(dict.fromkeys([needed, "identity", *plan.columns, *carry]))
    drawing = Drawing(
        rows,
        folder,
        str(run.scratch),
        order,
        score,
        config.seed,
        max_repeats,
        plan.cells_of,
        plan.weights_of,
        columns,
        carry,
    )
    rows.check(columns)
    total = max(1, len(rows.blocks))
    run.compute.map(
        partial(draw_block, drawing=drawing),
        range(len(rows.blocks)),
        work=rows.pool.rows * 40,
        on_done=lambda done: run.progress(0.9 * done / total, f"drawing rows: block {done} of {total}"),
    )
    first = _merge(folder, rows.blocks, needs)
    storage.remove(folder)
    if diverse:
        first = _take(first, choose_diverse(first, quotas, rows))
    return _weighted_copies(first, plan, max_repeats, carry) if weighted else _equal_copies(first, plan, carry)


def draw_block(number: int, drawing: Drawing) -> int:
    """Write cell, rank value, row_id and leaf of the rows of a block that may be selected; return their number."""
    block = drawing.rows.blocks[number]
    table = drawing.rows.table(block, drawing.columns)
    row_id, identity, leaf = (table[name].to_numpy() for name in ("row_id", "identity", "leaf"))
    cell = leaf.astype(np.int64) if drawing.cells_of is None else drawing.cells_of(table, block)
    found = {"cell": cell, "row_id": row_id, "leaf": leaf, **{name: table[name].to_numpy() for name in drawing.carry}}
    if drawing.weights_of is not None:
        found["weight"] = weight = _checked(drawing.weights_of(table, block), row_id)
        with np.errstate(divide="ignore"):
            copies = [
                {**found, "value": -np.log(uniform(drawing.seed + copy, identity)) / weight}
                for copy in range(drawing.max_repeats)
            ]
        found = _join(copies)
        found = _take(found, np.isfinite(found["value"]))
    elif drawing.order == "score":
        found["value"] = -score_of(table, drawing.score)
    elif drawing.order in ("closest", "furthest"):
        distance = table["distance"].to_numpy().astype(np.float64)
        found["value"] = distance if drawing.order == "closest" else -distance
    else:
        found["value"] = (hash_identities(drawing.seed, identity) >> np.uint64(11)).astype(np.float64)
        found["block"] = np.full(len(cell), number, np.int32)
    kept = first_of_cells(found, map_array(storage.join(drawing.folder, "needs.npy"), Path(drawing.scratch)))
    write_table(storage.join(drawing.folder, f"{block}.parquet"), pa.table(kept))
    return len(kept["row_id"])


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


def first_of_cells(found: Columns, needs: NDArray[np.int64]) -> Columns:
    """Return the rows with the smallest values of every cell, at most `needs` of each, sorted by cell and value."""
    found = _take(found, np.lexsort((found["row_id"], found["value"], found["cell"])))
    return _take(found, rank_in_cell(found["cell"]) < needs[found["cell"]])


def rank_in_cell(cell: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return 0, 1, 2, ... within each run of equal cells, (n,) int64."""
    place = np.arange(len(cell))
    starts = np.flatnonzero(np.diff(cell, prepend=-1))
    return place - np.repeat(starts, np.diff(starts, append=len(cell)))


def _merge(folder: str, blocks: Sequence[str], needs: NDArray[np.int64]) -> Columns:
    """Return the first rows of every cell over all blocks, reading a bounded number at a time."""
    limit = max(MERGE_ROWS, int(needs.sum()))
    parts, waiting = [], 0
    for block in blocks:
        table = read_table(storage.join(folder, f"{block}.parquet"))
        parts.append({name: table[name].to_numpy() for name in table.column_names})
        waiting += table.num_rows
        if waiting > limit and len(parts) > 1:
            parts, waiting = [first_of_cells(_join(parts), needs)], 0
    if not parts:
        empty = np.empty(0, np.int64)
        names = ("cell", "value", "row_id", "leaf", "weight", "block", "tokens", "identity")
        return dict.fromkeys(names, empty)
    return first_of_cells(_join(parts), needs)


def _equal_copies(first: Columns, plan: DrawPlan, carry: tuple[str, ...]) -> pa.Table:
    cell, quotas, sizes = first["cell"], plan.allocation.quotas, plan.sizes
    whole = quotas // np.maximum(sizes, 1)
    copies = whole[cell] + (rank_in_cell(cell) < (quotas - whole * sizes)[cell])
    given = np.where(plan.allocation.shares < 1, plan.allocation.shares, quotas)
    probability = np.minimum(1.0, given / np.maximum(sizes, 1))
    return _selection(first, copies, probability[cell], carry)


def _weighted_copies(
    first: Columns,
    plan: DrawPlan,
    max_repeats: int,
    carry: tuple[str, ...],
) -> pa.Table:
    cell, quotas = first["cell"], plan.allocation.quotas
    if quotas.any() and not len(cell):
        raise RecipeError(
            "the sampling weights of all rows are zero, so there is nothing to sample",
            where="sampling.strategy",
            remedy="check the scores or concepts that they are made of",
        )
    threshold = np.full(len(quotas), np.inf)
    beyond = rank_in_cell(cell) == quotas[cell]
    threshold[cell[beyond]] = first["value"][beyond]
    first = _take(first, ~beyond)
    _, place, copies = np.unique(first["row_id"], return_index=True, return_counts=True)
    first = _take(first, place)
    probability = -np.expm1(-max_repeats * first["weight"] * threshold[first["cell"]])
    return _selection(first, copies, probability, carry)


def _selection(
    first: Columns,
    copies: NDArray[np.int64],
    probability: NDArray[np.float64],
    carry: tuple[str, ...],
) -> pa.Table:
    order = np.argsort(first["row_id"], kind="stable")
    columns = {
        "row_id": first["row_id"][order].astype(np.uint64),
        "copies": copies[order].astype(np.int32),
        "weight": 1.0 / probability[order].astype(np.float64),
        "leaf": first["leaf"][order].astype(np.int32),
    }
    return pa.table({**columns, **{name: first[name][order] for name in carry}})


def _take(found: Columns, which: NDArray[np.int64] | NDArray[np.bool_]) -> Columns:
    return {name: values[which] for name, values in found.items()}


def _join(parts: list[Columns]) -> Columns:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
