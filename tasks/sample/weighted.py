"""Draw rows by their weights: weigh every block once, hand in the rows that may be chosen, choose among them.

What blocks hand in is bounded by the quotas: a sketch of the weights says how small a row's random number must be. The
choice tells where that bound was too narrow; such cells are drawn again from wider bounds, so it is exact.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pyarrow as pa

from evenkeel.infra import storage
from evenkeel.infra.errors import RecipeError
from evenkeel.infra.hashing import uniform
from evenkeel.infra.tables import read_table, write_table
from evenkeel.tasks.sample.blocks import array_for_workers, mapped, run_blocks, selection_of
from evenkeel.tasks.sample.candidates import CandidateRows, Columns
from evenkeel.tasks.sample.cells import join, take
from evenkeel.tasks.sample.chances import Bounds, Choice, choose_gumbel, choose_poisson, choose_top
from evenkeel.tasks.sample.config import SamplingConfig
from evenkeel.tasks.sample.draw_plan import Draw, DrawPlan
from evenkeel.tasks.sample.weigh import WeightSketch, read_weights, weigh
from evenkeel.tasks.step import Run

WIDER = 4.0


@dataclass(frozen=True)
class WeightedDrawing:
    """What a worker needs to hand in the rows of a block that may be chosen.

    folder: holds the weights of every block; receives the rows. limits: URI of the bound of every cell.
    """

    rows: CandidateRows
    folder: str
    scratch: str
    limits: str
    draw: Draw
    seed: int
    copies: int
    carry: tuple[str, ...]


def draw_weighted(
    config: SamplingConfig, plan: DrawPlan, rows: CandidateRows, folder: str, run: Run, carry: tuple[str, ...]
) -> pa.Table:
    """Return the selection of a plan with weights, as `draw` does. Raises RecipeError where all weights are zero."""
    copies, quotas = plan.copies or config.max_repeats, plan.allocation.quotas
    rows.check([*plan.columns, *carry])
    sketch = weigh(plan, rows, folder, run.compute)
    if quotas.any() and not len(sketch.keys):
        raise RecipeError(
            "the sampling weights of all rows are zero, so there is nothing to sample",
            where="sampling.strategy",
            remedy="check the scores or concepts that they are made of",
        )
    wider = np.ones(len(quotas))
    while True:
        bounds = Bounds.of(plan.draw, sketch, quotas, copies, wider)
        uri = array_for_workers(folder, bounds.limits)
        drawing = WeightedDrawing(rows, folder, str(run.scratch), uri, plan.draw, config.seed, copies, carry)
        run_blocks(partial(hand_in, drawing=drawing), rows, run)
        choice = _choose(_read(folder, rows.blocks), plan, sketch, copies, bounds)
        if not choice.narrow.any():
            break
        wider = np.where(choice.narrow, wider * WIDER, wider)
    storage.remove(folder)
    return selection_of(choice.rows, choice.copies, choice.probability, carry)


def hand_in(number: int, drawing: WeightedDrawing) -> int:
    """Write the rows of a block that may be chosen; return their number."""
    block = drawing.rows.blocks[number]
    table = drawing.rows.table(block, ["identity", *drawing.carry])
    cell, weight = read_weights(drawing.folder, block)
    limit = mapped(drawing.limits, drawing.scratch)[cell]
    identity = table["identity"].to_numpy()
    found: Columns = {"cell": cell, "weight": weight, **{name: table[name].to_numpy() for name in ("row_id", "leaf")}}
    found |= {name: table[name].to_numpy() for name in drawing.carry}
    if drawing.draw == "gumbel":
        parts = []
        for copy in range(drawing.copies):
            drawn = -np.log(uniform(drawing.seed + copy, identity))
            with np.errstate(divide="ignore", invalid="ignore"):
                within = (weight > 0) & (limit > 0) & (drawn / weight <= limit)
            parts.append(take({**found, "value": drawn / np.where(within, weight, 1.0)}, within))
        found = join(parts)
    else:
        found["u"] = uniform(drawing.seed, identity)
        with np.errstate(invalid="ignore"):
            within = weight >= limit if drawing.draw == "top" else found["u"] <= limit * weight
        found = take(found, within & (weight > 0))
    write_table(storage.join(drawing.folder, f"{block}.parquet"), pa.table(found))
    return len(found["row_id"])


def _choose(first: Columns, plan: DrawPlan, sketch: WeightSketch, copies: int, bounds: Bounds) -> Choice:
    quotas = plan.allocation.quotas
    if plan.draw == "gumbel":
        return choose_gumbel(first, sketch, quotas, copies)
    if plan.draw == "top":
        return choose_top(first, sketch, quotas, copies)
    return choose_poisson(first, sketch, quotas, plan.allocation.shares, copies, bounds.limits)


def _read(folder: str, blocks: Sequence[str]) -> Columns:
    """Return the rows that all blocks handed in."""
    parts = []
    for block in blocks:
        table = read_table(storage.join(folder, f"{block}.parquet"))
        parts.append({name: table[name].to_numpy() for name in table.column_names})
    if not parts:
        empty = np.empty(0, np.int64)
        return dict.fromkeys(("cell", "value", "u", "row_id", "leaf", "weight", "tokens", "identity"), empty)
    return join(parts)
