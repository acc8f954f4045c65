"""A budget in tokens: as many rows as it buys, never more."""

from dataclasses import replace
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from infra.compute import Compute
from infra.errors import RecipeError
from tasks.sample.config import SamplingConfig
from tasks.sample.hashing import mix
from tasks.sample.options import Balanced
from tasks.sample.plan import Candidates, Plan
from tasks.sample.rows import Rows
from tasks.step import Run

TRIES = 6
SLACK = 1.05


def token_count(rows: Rows, compute: Compute) -> int:
    """Return the tokens of all rows that may be selected."""
    return sum(compute.map(partial(_tokens, rows=rows), rows.blocks, work=rows.pool.rows * 20))


def draw_tokens(
    config: SamplingConfig, candidates: Candidates, budget: int, folder: str, run: Run
) -> tuple[Plan, pa.Table]:
    """Return a plan and its rows that hold at most `budget` tokens, and less by no more than the next row's.

    The number of rows is found by drawing; the few tokens too many are given back by the rows with the largest hash.
    Raises RecipeError where the budget does not buy one row.
    """
    from tasks.sample.step import draw_plan, make_plan

    total = token_count(candidates.rows, run.compute)
    most = candidates.tree.rows * candidates.limits.max_repeats
    target = min(most, max(1, round(budget / max(1, total) * candidates.tree.rows)))
    for _ in range(TRIES):
        plan = make_plan(config, replace(candidates, target=target))
        selection = draw_plan(config, candidates, plan, folder, run, carry=("tokens", "identity"))
        tokens = int(np.dot(selection["tokens"].to_numpy().astype(np.int64), selection["copies"].to_numpy()))
        if target == most or budget <= tokens <= budget * SLACK:
            break
        if isinstance(config.strategy, Balanced) and not config.strategy.rule:
            config = config.model_copy(update={"strategy": Balanced(rule=plan.facts["chosen"])})
        target = min(most, max(1, int(np.ceil(1.01 * target * budget / max(1, tokens)))))
    kept = selection.filter(pa.array(within(selection, budget, config.seed)))
    if not kept.num_rows:
        raise RecipeError(
            "the token budget does not buy one row",
            expected=f"at least {pc.min(selection['tokens']).as_py():,} tokens",
            found=f"{budget:,}",
            where="sampling.target",
        )
    return plan, kept


def within(selection: pa.Table, budget: int, seed: int) -> NDArray[np.bool_]:
    """Return which rows fit the budget when they are taken by hash, (n,) bool."""
    cost = selection["tokens"].to_numpy().astype(np.int64) * selection["copies"].to_numpy()
    order = np.argsort(mix(seed + 1, selection["identity"].to_numpy().astype(np.uint64)), kind="stable")
    fits = np.zeros(len(cost), bool)
    fits[order] = np.cumsum(cost[order]) <= budget
    return fits


def _tokens(block: str, rows: Rows) -> int:
    return int(pc.sum(rows.table(block, ["tokens"])["tokens"]).as_py() or 0)
