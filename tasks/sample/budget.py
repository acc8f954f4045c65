"""Select as many rows as a budget of tokens, or of copies of rehydrated rows, pays for."""

from dataclasses import replace
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from evenkeel.infra.compute import Compute
from evenkeel.infra.errors import RecipeError
from evenkeel.infra.hashing import hash_identities
from evenkeel.tasks.sample.candidates import CandidateRows
from evenkeel.tasks.sample.config import Budget, SamplingConfig
from evenkeel.tasks.sample.draw import draw
from evenkeel.tasks.sample.draw_plan import DrawPlan
from evenkeel.tasks.sample.inputs import SampleInputs
from evenkeel.tasks.sample.planning import make_plan
from evenkeel.tasks.sample.problem import SamplingProblem
from evenkeel.tasks.sample.rehydration import Rehydrator
from evenkeel.tasks.step import Run

MAX_DRAWS = 6
SLACK = 1.05


def token_count(rows: CandidateRows, compute: Compute) -> int:
    """Return the number of tokens in all candidate rows."""
    return pool_cost(rows, Budget(1, "tokens"), None, compute)


def pool_cost(rows: CandidateRows, budget: Budget, rehydrator: Rehydrator | None, compute: Compute) -> int:
    """Return what all candidate rows, with their copies, cost in the unit of a budget."""
    cost = partial(_cost, rows=rows, unit=budget.unit, rehydrator=rehydrator)
    return sum(compute.map(cost, rows.blocks, work=rows.pool.rows * 20))


def draw_budget(
    config: SamplingConfig,
    problem: SamplingProblem,
    budget: Budget,
    inputs: SampleInputs,
    folder: str,
    run: Run,
) -> tuple[DrawPlan, pa.Table]:
    """Return a plan and as many of its rows as the budget pays for.

    Copies are those of the plan times those of `config.rehydrate`. A budget of rows counts copies and is met exactly; a
    budget of tokens is missed by less than the next row's tokens. The number of rows is found by drawing repeatedly;
    rows beyond the budget are dropped in the order of a hash. Raises RecipeError where the budget does not pay for one
    row.
    """
    rehydrator = Rehydrator.of(config.rehydrate, inputs.dedup, problem.tree.rows)
    total = pool_cost(problem.rows, budget, rehydrator, run.compute)
    max_target = problem.tree.rows * max(config.max_repeats, config.strategy.max_copies())
    target = min(max_target, max(1, round(budget.amount / max(1, total) * problem.tree.rows)))
    for _ in range(MAX_DRAWS):
        plan = make_plan(config, replace(problem, target=target))
        selection = draw(config, plan, problem.rows, folder, run, carry=("tokens", "identity"))
        if rehydrator is not None:
            copies = selection["copies"].to_numpy() * rehydrator.copies(selection["row_id"].to_numpy())
            selection = selection.set_column(1, "copies", pa.array(copies.astype(np.int32)))
        found = int((_each(selection, budget.unit) * selection["copies"].to_numpy()).sum())
        if target == max_target or budget.amount <= found <= budget.amount * SLACK:
            break
        config = config.model_copy(update={"strategy": config.strategy.pinned(plan.facts)})
        target = min(max_target, max(1, int(np.ceil(1.01 * target * budget.amount / max(1, found)))))
    kept = rows_within(selection, budget, config.seed)
    if not kept.num_rows:
        raise RecipeError(
            "the token budget does not pay for one row",
            expected=f"at least {pc.min(selection['tokens']).as_py():,} tokens",
            found=f"{budget.amount:,}",
            where="sampling.target",
        )
    return plan, kept


def rows_within(selection: pa.Table, budget: Budget, seed: int) -> pa.Table:
    """Return the rows that a budget pays for, in the order of a hash; of a budget of rows, the last may lose copies."""
    each, copies = _each(selection, budget.unit), selection["copies"].to_numpy().astype(np.int64)
    order = np.argsort(hash_identities(seed + 1, selection["identity"].to_numpy().astype(np.uint64)), kind="stable")
    spent = np.cumsum((each * copies)[order])
    fits = int(np.searchsorted(spent, budget.amount, side="right"))
    left = budget.amount - (int(spent[fits - 1]) if fits else 0)
    if budget.unit == "rows" and left and fits < len(order):
        copies[order[fits]] = left
        fits += 1
    kept = np.zeros(len(copies), bool)
    kept[order[:fits]] = True
    return selection.set_column(1, "copies", pa.array(copies.astype(np.int32))).filter(pa.array(kept))


def _each(table: pa.Table, unit: str) -> NDArray[np.int64]:
    """Return what one copy of each row costs, (n,) int64."""
    if unit == "rows":
        return np.ones(table.num_rows, np.int64)
    tokens: NDArray[np.int64] = table["tokens"].fill_null(0).to_numpy().astype(np.int64)
    return tokens


def _cost(block: str, rows: CandidateRows, unit: str, rehydrator: Rehydrator | None) -> int:
    table = rows.table(block, ["tokens"])
    each = _each(table, unit)
    return int((each if rehydrator is None else each * rehydrator.copies(table["row_id"].to_numpy())).sum())
