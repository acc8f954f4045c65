"""Draw rows by a plan: in every cell the rows that come first in order, found block by block in bounded memory."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from infra import storage
from tasks.sample.hashing import mix, uniform
from tasks.sample.plan import CellsOf, Plan, WeightsOf
from tasks.sample.rows import Rows, read_parquet, save_array, score_of, write_parquet
from tasks.step import Run

Order = Literal["hash", "closest", "furthest", "score", "diverse"]
MERGE_ROWS = 1 << 22


@dataclass(frozen=True)
class Drawing:
    """What a worker needs to find the first rows of every cell in a block.

    folder: where `needs.npy` lies, the most rows of each cell that can be kept, and where a block's rows are written.
    """

    rows: Rows
    folder: str
    scratch: str
    order: Order
    score: str
    seed: int
    max_repeats: int
    cells_of: CellsOf | None
    weights_of: WeightsOf | None
    columns: tuple[str, ...]


def draw(
    plan: Plan, rows: Rows, folder: str, run: Run, *, order: Order, score: str, seed: int, max_repeats: int
) -> pa.Table:
    """Return the selection: row_id uint64, copies int32, weight float64, leaf int32, sorted by row_id.

    Rows of a cell come by the smallest hash(seed, identity), by distance, or by score; ties by row_id. With weights,
    by the smallest -log(u) / weight, which is sampling in proportion to the weights without replacement (Gumbel top-k),
    every row standing for `max_repeats` copies of itself. weight is 1 / inclusion probability: expected share over
    size in a cell of equal rows, and 1 - exp(-weight * threshold) where rows have weights, the threshold being the
    first value left out (bottom-k sketches; Cohen and Kaplan 2007). Memory is bounded by the target, not by the pool.
    """
    quotas, weighted = plan.allocation.quotas, plan.weights_of is not None
    needs = quotas + 1 if weighted else np.minimum(quotas, plan.sizes)
    save_array(storage.join(folder, "needs.npy"), needs)
    needed = {"hash": "identity", "closest": "distance", "furthest": "distance", "score": f"score.{score}"}[order]
    columns = tuple(dict.fromkeys([needed, "identity", *plan.columns]))
    drawing = Drawing(
        rows, folder, str(run.scratch), order, score, seed, max_repeats, plan.cells_of, plan.weights_of, columns
    )
    rows.check(columns)
    total = max(1, len(rows.blocks))
    run.compute.map(
        partial(draw_block, drawing=drawing),
        rows.blocks,
        work=rows.pool.rows * 40,
        on_done=lambda done: run.progress(0.9 * done / total, f"drawing rows: block {done} of {total}"),
    )
    first = _merge(folder, rows.blocks, needs)
    storage.remove(folder)
    return _weighted_copies(first, plan, max_repeats) if weighted else _equal_copies(first, plan)


def draw_block(block: str, drawing: Drawing) -> int:
    """Write the rows of a block that may be selected and return how many: cell, rank value, row_id, leaf, weight."""
    table = drawing.rows.table(block, drawing.columns)
    row_id, identity = table["row_id"].to_numpy(), table["identity"].to_numpy()
    cell = (table["leaf"].to_numpy().astype(np.int64)) if drawing.cells_of is None else drawing.cells_of(table)
    found = {"cell": cell, "row_id": row_id, "leaf": table["leaf"].to_numpy()}
    if drawing.weights_of is not None:
        weight = drawing.weights_of(table)
        found["weight"] = weight
        with np.errstate(divide="ignore"):
            copies = [
                {**found, "value": -np.log(uniform(drawing.seed + copy, identity)) / weight}
                for copy in range(drawing.max_repeats)
            ]
        found = {name: np.concatenate([part[name] for part in copies]) for name in copies[0]}
        found = _take(found, np.isfinite(found["value"]))
    elif drawing.order == "hash":
        found["value"] = (mix(drawing.seed, identity) >> np.uint64(11)).astype(np.float64)
    elif drawing.order == "score":
        found["value"] = -score_of(table, drawing.score)
    else:
        distance = table["distance"].to_numpy().astype(np.float64)
        found["value"] = distance if drawing.order == "closest" else -distance
    path = storage.local_copy(storage.join(drawing.folder, "needs.npy"), Path(drawing.scratch))
    kept = first_of_cells(found, np.load(path, mmap_mode="r", allow_pickle=False))
    write_parquet(storage.join(drawing.folder, f"{block}.parquet"), pa.table(kept))
    return len(kept["row_id"])


def first_of_cells(found: dict[str, NDArray], needs: NDArray[np.int64]) -> dict[str, NDArray]:  # type: ignore[type-arg]
    """Return the rows with the smallest values of every cell, at most `needs` of each, sorted by cell and value."""
    found = _take(found, np.lexsort((found["row_id"], found["value"], found["cell"])))
    return _take(found, rank_in_cell(found["cell"]) < needs[found["cell"]])


def rank_in_cell(cell: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return 0, 1, 2, ... within each run of equal cells, (n,) int64."""
    place = np.arange(len(cell))
    starts = np.flatnonzero(np.diff(cell, prepend=-1))
    return place - np.repeat(starts, np.diff(starts, append=len(cell)))


def _merge(folder: str, blocks: Sequence[str], needs: NDArray[np.int64]) -> dict[str, NDArray]:  # type: ignore[type-arg]
    """Return the first rows of every cell over all blocks, reading a bounded number at a time."""
    limit = max(MERGE_ROWS, int(needs.sum()))
    parts, waiting = [], 0
    for block in blocks:
        table = read_parquet(storage.join(folder, f"{block}.parquet"))
        parts.append({name: table[name].to_numpy() for name in table.column_names})
        waiting += table.num_rows
        if waiting > limit and len(parts) > 1:
            parts, waiting = [first_of_cells(_join(parts), needs)], 0
    if not parts:
        empty = np.empty(0, np.int64)
        return {"cell": empty, "value": empty, "row_id": empty.astype(np.uint64), "leaf": empty, "weight": empty}
    return first_of_cells(_join(parts), needs)


def _equal_copies(first: dict[str, NDArray], plan: Plan) -> pa.Table:  # type: ignore[type-arg]
    cell, quotas, sizes = first["cell"], plan.allocation.quotas, plan.sizes
    whole = quotas // np.maximum(sizes, 1)
    copies = whole[cell] + (rank_in_cell(cell) < (quotas - whole * sizes)[cell])
    probability = np.minimum(1.0, plan.allocation.shares / np.maximum(sizes, 1))
    return _selection(first["row_id"], copies, 1.0 / probability[cell], first["leaf"])


def _weighted_copies(first: dict[str, NDArray], plan: Plan, max_repeats: int) -> pa.Table:  # type: ignore[type-arg]
    cell, quotas = first["cell"], plan.allocation.quotas
    rank = rank_in_cell(cell)
    threshold = np.full(len(quotas), np.inf)
    beyond = rank == quotas[cell]
    threshold[cell[beyond]] = first["value"][beyond]
    first = _take(first, ~beyond)
    row_id, place, copies = np.unique(first["row_id"], return_index=True, return_counts=True)
    probability = -np.expm1(-max_repeats * first["weight"][place] * threshold[first["cell"][place]])
    return _selection(row_id, copies, 1.0 / probability, first["leaf"][place])


def _selection(row_id: NDArray, copies: NDArray, weight: NDArray, leaf: NDArray) -> pa.Table:  # type: ignore[type-arg]
    order = np.argsort(row_id, kind="stable")
    return pa.table(
        {
            "row_id": row_id[order].astype(np.uint64),
            "copies": copies[order].astype(np.int32),
            "weight": weight[order].astype(np.float64),
            "leaf": leaf[order].astype(np.int32),
        }
    )


def _take(found: dict[str, NDArray], which: NDArray) -> dict[str, NDArray]:  # type: ignore[type-arg]
    return {name: values[which] for name, values in found.items()}


def _join(parts: list[dict[str, NDArray]]) -> dict[str, NDArray]:  # type: ignore[type-arg]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
