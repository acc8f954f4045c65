"""Draw the rows of a plan: the first rows of every cell in order, found block by block in bounded memory."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from evenkeel.infra import storage
from evenkeel.infra.hashing import uniform
from evenkeel.infra.tables import read_table, write_table
from evenkeel.tasks.sample.blocks import array_for_workers, mapped, run_blocks, selection_of
from evenkeel.tasks.sample.candidates import CandidateRows, Columns, score_of
from evenkeel.tasks.sample.cells import first_of_cells, join, rank_in_cell, take
from evenkeel.tasks.sample.config import SamplingConfig
from evenkeel.tasks.sample.diverse import CANDIDATES, choose_diverse
from evenkeel.tasks.sample.draw_plan import CellsOf, DrawPlan, Order
from evenkeel.tasks.sample.weighted import draw_weighted
from evenkeel.tasks.step import Run

MERGE_ROWS = 1 << 22


@dataclass(frozen=True)
class Drawing:
    """What a worker needs to find the first rows of every cell in a block.

    folder: receives the rows of each block. needs: URI of how many rows of each cell are needed at most. limits: for
    the order by hash, URI of the largest hash in [0, 1] that may be among them. carry: columns of the pool that are
    added to the selection for the caller.
    """

    rows: CandidateRows
    folder: str
    scratch: str
    needs: str
    limits: str
    order: Order
    score: str
    seed: int
    cells_of: CellsOf | None
    columns: tuple[str, ...]
    carry: tuple[str, ...]


def draw(
    config: SamplingConfig, plan: DrawPlan, rows: CandidateRows, folder: str, run: Run, carry: tuple[str, ...] = ()
) -> pa.Table:
    """Return the selection: row_id uint64, copies int32, weight float64, leaf int32, sorted by row_id.

    Rows of a cell come by the smallest hash(seed, identity), by distance, or by score; ties by row_id. Where rows have
    weights they are drawn by these (`chances.py`). The column weight is 1 / inclusion probability: in a cell of equal
    rows quota over size (the expected share, where that is below one row). Memory is bounded by the target, not by the
    pool.
    """
    if plan.weights_of is not None:
        return draw_weighted(config, plan, rows, folder, run, carry)
    order, quotas = plan.order or config.order, plan.allocation.quotas
    needs = np.minimum(quotas * (CANDIDATES if order == "diverse" else 1), plan.sizes)
    hashed = order in ("hash", "diverse")
    limits = (1.05 * needs + 4 * np.sqrt(needs) + 4) / np.maximum(1, plan.sizes)
    needed = {"closest": "distance", "furthest": "distance", "score": f"score.{config.score}"}.get(order, "identity")
    columns = tuple(dict.fromkeys([needed, "identity", *plan.columns, *carry]))
    rows.check(columns)
    uri = array_for_workers(folder, needs)
    drawing = Drawing(
        rows, folder, str(run.scratch), uri, "", order, config.score, config.seed, plan.cells_of, columns, carry
    )
    while True:
        if hashed:
            drawing = replace(drawing, limits=array_for_workers(folder, limits))
        run_blocks(partial(draw_block, drawing=drawing), rows, run)
        first = _merge(folder, rows.blocks, needs)
        few = np.bincount(first["cell"], minlength=len(needs)) < needs
        if not hashed or not (few & (limits < 1)).any():
            break
        limits = np.where(few, 4 * limits, limits)
    storage.remove(folder)
    if order == "diverse":
        first = take(first, choose_diverse(first, quotas, rows))
    return _equal_copies(first, plan, carry)


def draw_block(number: int, drawing: Drawing) -> int:
    """Write cell, rank value, row_id and leaf of the rows of a block that may be selected; return their number."""
    block = drawing.rows.blocks[number]
    table = drawing.rows.table(block, drawing.columns)
    row_id, identity, leaf = (table[name].to_numpy() for name in ("row_id", "identity", "leaf"))
    cell = leaf.astype(np.int64) if drawing.cells_of is None else drawing.cells_of(table, block)
    found = {"cell": cell, "row_id": row_id, "leaf": leaf, **{name: table[name].to_numpy() for name in drawing.carry}}
    if drawing.order == "score":
        found["value"] = -score_of(table, drawing.score)
    elif drawing.order in ("closest", "furthest"):
        distance = table["distance"].to_numpy().astype(np.float64)
        found["value"] = distance if drawing.order == "closest" else -distance
    else:
        found["value"] = uniform(drawing.seed, identity)
        found["block"] = np.full(len(cell), number, np.int32)
        found = take(found, found["value"] <= mapped(drawing.limits, drawing.scratch)[cell])
    kept = first_of_cells(found, mapped(drawing.needs, drawing.scratch).astype(np.int64))
    write_table(storage.join(drawing.folder, f"{block}.parquet"), pa.table(kept))
    return len(kept["row_id"])


def _merge(folder: str, blocks: Sequence[str], needs: NDArray[np.int64]) -> Columns:
    """Return the first rows of every cell over all blocks, reading a bounded number at a time."""
    limit = max(MERGE_ROWS, int(needs.sum()))
    parts, waiting = [], 0
    for block in blocks:
        table = read_table(storage.join(folder, f"{block}.parquet"))
        parts.append({name: table[name].to_numpy() for name in table.column_names})
        waiting += table.num_rows
        if waiting > limit and len(parts) > 1:
            parts, waiting = [first_of_cells(join(parts), needs)], 0
    if not parts:
        empty = np.empty(0, np.int64)
        return dict.fromkeys(("cell", "value", "row_id", "leaf", "block", "tokens", "identity"), empty)
    return first_of_cells(join(parts), needs)


def _equal_copies(first: Columns, plan: DrawPlan, carry: tuple[str, ...]) -> pa.Table:
    cell, quotas, sizes = first["cell"], plan.allocation.quotas, plan.sizes
    whole = quotas // np.maximum(sizes, 1)
    copies = whole[cell] + (rank_in_cell(cell) < (quotas - whole * sizes)[cell])
    given = np.where(plan.allocation.shares < 1, plan.allocation.shares, quotas)
    probability = np.minimum(1.0, given / np.maximum(sizes, 1))
    return selection_of(first, copies, probability[cell], carry)
