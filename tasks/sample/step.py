"""The sample step: quotas over the clusters, rows drawn from them, and the baselines beside."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from infra.errors import RecipeError
from infra.workspace import StepFolder, StepRef
from tasks.cluster.hierarchy import Hierarchy
from tasks.measure.balance import balance
from tasks.sample.config import SamplingConfig
from tasks.sample.draw import draw
from tasks.sample.options import Flat, Random, TopDown
from tasks.sample.plan import Candidates, Limits, Plan
from tasks.sample.rows import Rows, write_parquet
from tasks.sample.strategies import strategy
from tasks.sample.tree import ClusterTree
from tasks.step import Outcome, Run, Step

BASELINES = {"random": Random(), "flat": Flat(), "top-down": TopDown()}


def sample(config: SamplingConfig, inputs: Mapping[str, StepRef], out: StepFolder, run: Run) -> Outcome:
    """Select rows of the clustered pool and write the selection, the quotas and the candidates.

    Raises RecipeError where the target exceeds what the pool can give, or a column is missing.
    """
    hierarchy = Hierarchy.open(inputs["cluster"])
    tree = tree_of(hierarchy)
    rows = Rows.open(inputs, str(run.scratch))
    limits = Limits(config.max_repeats, config.floor, config.cap)
    budget = config.budget(tree.rows)
    if budget.amount > tree.rows * config.max_repeats:
        raise RecipeError(
            "the target is larger than the pool",
            expected=f"at most {tree.rows * config.max_repeats:,} rows ({tree.rows:,} after deduplication"
            + (f", each up to {config.max_repeats} times)" if config.max_repeats > 1 else ")"),
            found=f"{budget.amount:,}",
            where="sampling.target",
            remedy="lower the target, raise max_repeats, or add shards",
        )
    candidates = Candidates(rows, tree, budget.amount, config.seed, limits, run.compute)
    chosen = strategy(config.strategy.name)(config.strategy, candidates)
    selection = draw(
        chosen,
        rows,
        out.path("draws"),
        run,
        order=config.order,
        score=config.score,
        seed=config.seed,
        max_repeats=config.max_repeats,
    )
    write_parquet(out.path("selection.parquet"), selection)
    kept = np.bincount(selection["leaf"], minlength=tree.leaves)
    copies = np.bincount(selection["leaf"], weights=selection["copies"], minlength=tree.leaves).astype(np.int64)
    given = baselines(candidates)
    write_parquet(out.path("quotas.parquet"), _quotas(tree, chosen, kept, copies, given))
    write_parquet(out.path("candidates.parquet"), _candidates(chosen, copies, given, tree))
    total = int(copies.sum())
    counts = {"pool": tree.rows, "target": budget.amount, "kept": int(kept.sum()), "copies": total}
    facts = {"strategy": config.strategy.name, "unit": budget.unit, "shortfall": budget.amount - total, **chosen.facts}
    return Outcome(counts, facts)


def baselines(candidates: Candidates) -> dict[str, NDArray[np.int64]]:
    """Return the leaf quotas that random, flat and top-down would give for the same target and limits."""
    sizes = candidates.tree.sizes
    return {
        "random": candidates.fill(weights=sizes.astype(float)).quotas,
        "flat": candidates.fill().quotas,
        "top-down": candidates.descend().quotas,
    }


def tree_of(hierarchy: Hierarchy) -> ClusterTree:
    """Return the tree that quotas are allocated over."""
    finest = hierarchy.levels[0]
    parents = tuple(level.parents for level in hierarchy.levels[:-1])
    return ClusterTree(finest.counts, parents, finest.radii, finest.centroids)


def _quotas(
    tree: ClusterTree,
    chosen: Plan,
    kept: NDArray[np.int64],
    copies: NDArray[np.int64],
    given: Mapping[str, NDArray[np.int64]],
) -> pa.Table:
    quota = chosen.allocation.quotas if chosen.cells_of is None else copies
    columns: dict[str, Any] = {
        "leaf": np.arange(tree.leaves, dtype=np.int32),
        "size": tree.sizes,
        "quota": quota,
        "kept": kept,
    }
    return pa.table({**columns, **given})


def _candidates(
    chosen: Plan, copies: NDArray[np.int64], given: Mapping[str, NDArray[np.int64]], tree: ClusterTree
) -> pa.Table:
    """Return one row per rule and level: its balance, and what the strategy itself measured."""
    if chosen.candidates:
        return pa.Table.from_pylist(chosen.candidates)
    found = []
    for name, leaf_counts in {"chosen": copies, **given}.items():
        for level in range(1, tree.depth + 1):
            present = tree.lift(tree.sizes, level) > 0
            measures = balance(tree.lift(leaf_counts, level), present)
            found.append({"rule": name, "scope": f"level-{level}", **measures})
    return pa.Table.from_pylist(found)


SAMPLE = Step("sample", 1, sample)
