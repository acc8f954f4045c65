"""The sample step: allocates quotas, draws rows, and writes them with the quotas of the baselines."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from evenkeel.expectations.measures import balance
from evenkeel.infra import storage
from evenkeel.infra.errors import RecipeError, StepError
from evenkeel.infra.tables import write_table
from evenkeel.infra.workspace import StepFolder
from evenkeel.tasks.cluster.hierarchy import Hierarchy
from evenkeel.tasks.ingest.must_keep import kept_by_force
from evenkeel.tasks.sample.balanced.steps import read_densities, read_partitions
from evenkeel.tasks.sample.budget import draw_budget, pool_cost
from evenkeel.tasks.sample.candidates import CandidateRows
from evenkeel.tasks.sample.config import Budget, SamplingConfig
from evenkeel.tasks.sample.draw import draw
from evenkeel.tasks.sample.draw_plan import DrawPlan
from evenkeel.tasks.sample.drawn_cells import cell_table, count_cells, effective_share
from evenkeel.tasks.sample.inputs import SampleInputs
from evenkeel.tasks.sample.must_keep import with_rows_kept
from evenkeel.tasks.sample.planning import baselines, make_plan
from evenkeel.tasks.sample.problem import QuotaLimits, SamplingProblem
from evenkeel.tasks.sample.quotas.tree import ClusterTree, tree_of
from evenkeel.tasks.sample.rehydration import Rehydrator
from evenkeel.tasks.sample.strategy import Strategy
from evenkeel.tasks.step import Outcome, Run, Step
from evenkeel.tasks.workload import Workload

LeafCounts = NDArray[np.int64]


def sample(config: SamplingConfig, inputs: SampleInputs, out: StepFolder, run: Run) -> Outcome:
    """Select rows of the clustered pool and write the selection, the quotas and the candidates.

    Raises RecipeError where the target exceeds what the pool can give, a column is missing, or constraints contradict
    each other.
    """
    problem, budget = open_problem(config, inputs, run)
    problem = replace(problem, folder=out.path("plan"), scratch=str(run.scratch))
    if budget.unit == "tokens" or config.rehydrate is not None:
        plan, selection = draw_budget(config, problem, budget, inputs, out.path("draws"), run)
    else:
        plan = make_plan(config, problem)
        selection = draw(config, plan, problem.rows, out.path("draws"), run)
    tree = problem.tree
    if inputs.must_keep is not None:
        must = kept_by_force(inputs.must_keep)
        selection = with_rows_kept(selection, must, problem.rows, tree.sizes, config.seed, run)
    kept = np.bincount(selection["leaf"], minlength=tree.leaves)
    copies = np.bincount(selection["leaf"], weights=selection["copies"], minlength=tree.leaves).astype(np.int64)
    given = baselines(replace(problem, target=min(int(copies.sum()), tree.rows)))
    rehydrator = Rehydrator.of(config.rehydrate, inputs.dedup, tree.rows)
    quota = plan.allocation.quotas if plan.cells_of is None and rehydrator is None else copies
    write_table(out.path("selection.parquet"), selection.select(["row_id", "copies", "weight", "leaf"]))
    for name, table in plan.beside.items():
        write_table(out.path(f"{name}.parquet"), table)
    proof = _count_drawn(plan, problem, out, whole=budget.unit == "rows" and rehydrator is None)
    storage.remove(out.path("plan"))
    write_table(out.path("quotas.parquet"), quota_table(tree, quota, kept, given))
    write_table(out.path("candidates.parquet"), candidate_table(tree, plan, copies, given))
    counts = {"pool": tree.rows, "target": budget.amount, "kept": int(kept.sum()), "copies": int(copies.sum())}
    amount = counts["copies"]
    if budget.unit == "tokens":
        amount = counts["tokens"] = int(np.dot(selection["tokens"].to_numpy(), selection["copies"].to_numpy()))
    facts = {
        "strategy": config.strategy.name,
        "goal": config.goal,
        **proof,
        **({} if rehydrator is None else {"rehydrate": {str(size): n for size, n in rehydrator.table.items()}}),
        "unit": budget.unit,
        "shortfall": budget.amount - amount,
        **plan.facts,
    }
    return Outcome(counts, facts)


def _count_drawn(plan: DrawPlan, problem: SamplingProblem, out: StepFolder, whole: bool) -> dict[str, float]:
    """Write the cells of a plan that are not the leaves, with what was drawn of each; return facts about its weights.

    whole: whether the quotas are met to the row, which a budget of tokens, or of rehydrated copies, does not.
    """
    if plan.cells_of is None and plan.weights_of is None:
        return {}
    counted = count_cells(plan, problem.rows, out.path("selection.parquet"), problem.compute)
    if whole and plan.cells_of is not None:
        write_table(out.path("cells.parquet"), cell_table(plan, counted.copies))
    return {} if plan.weights_of is None else {"effective_sample_size": round(effective_share(plan, counted), 4)}


def open_problem(config: SamplingConfig, inputs: SampleInputs, run: Run) -> tuple[SamplingProblem, Budget]:
    """Return what a strategy chooses from, and the budget. Raises RecipeError where the pool cannot give that much."""
    _require_clusters(config, inputs)
    tree = tree_of(Hierarchy.open(inputs.cluster))
    scratch, shared = str(run.scratch), inputs.shared_rows
    rows = CandidateRows.open(inputs.ingest, inputs.embed, inputs.cluster, scratch, inputs.signals, shared)
    repeats = max(config.max_repeats, config.strategy.max_copies())
    budget = config.budget(tree.rows)
    rehydrator = Rehydrator.of(config.rehydrate, inputs.dedup, tree.rows)
    plain = budget.unit == "rows" and rehydrator is None
    available = repeats * (tree.rows if plain else pool_cost(rows, budget, rehydrator, run.compute))
    if budget.amount > available:
        filtered = inputs.dedup.counts.get("filtered", 0)
        before = f"deduplication, and after filters that removed {filtered:,} rows" if filtered else "deduplication"
        raise RecipeError(
            "the target is larger than the pool",
            expected=f"at most {available:,} {budget.unit} after {before}"
            + (f", each row up to {repeats} times" if repeats > 1 else "")
            + (", rehydrated" if rehydrator is not None else ""),
            found=f"{budget.amount:,}",
            where="sampling.target",
            remedy=f"lower the target, {'loosen the filters, ' if filtered else ''}raise max_repeats, or add shards",
        )
    limits = QuotaLimits(config.max_repeats, config.floor, config.cap)
    _require_inputs(config.strategy, inputs)
    partitions = None if inputs.partition is None else read_partitions(inputs.partition)
    halves = {} if inputs.partition is None else inputs.partition.facts
    densities = {} if inputs.kernel_density is None else read_densities(inputs.kernel_density)
    problem = SamplingProblem(
        rows,
        tree,
        budget.amount,
        config.seed,
        limits,
        run.compute,
        partitions,
        halves.get("agreement"),
        halves.get("reference"),
        densities,
        tag_counts=inputs.tag_counts,
    )
    return problem, budget


def _require_clusters(config: SamplingConfig, inputs: SampleInputs) -> None:
    """Raise RecipeError where a mixture weighs clusters by number, and the pool was clustered anew since."""
    wanted = "" if config.mixture is None else config.mixture.clusters
    found = str(inputs.cluster.facts.get("centroid_hash", ""))
    if wanted and wanted != found:
        raise RecipeError(
            "the mixture weighs clusters, and the pool was clustered anew since it was learned",
            expected=f"clusters {wanted[:12]}",
            found=found[:12],
            where="mixture.domains",
            remedy="learn it again: evenkeel mix RECIPE --again; or choose a group column as domains",
        )


def _require_inputs(strategy: Strategy, inputs: SampleInputs) -> None:
    """Raise StepError where the strategy reads a step that is not among the inputs."""
    asked = {
        "partition": strategy.partition_config(),
        "kernel_density": strategy.density_config(),
        "tag_counts": strategy.tag_counts(),
    }
    given = inputs.present()
    if missing := [name for name, config in asked.items() if config is not None and name not in given]:
        raise StepError(
            f"the strategy {strategy.name} reads steps that are not among the inputs",
            expected=f"SampleInputs with {' and '.join(missing)}",
            found=", ".join(given),
        )


def quota_table(tree: ClusterTree, quota: LeafCounts, kept: LeafCounts, given: Mapping[str, LeafCounts]) -> pa.Table:
    """Return one row per leaf: leaf, size, quota, kept, and the quota of every baseline."""
    leaf = np.arange(tree.leaves, dtype=np.int32)
    return pa.table({"leaf": leaf, "size": tree.sizes, "quota": quota, "kept": kept, **given})


def candidate_table(tree: ClusterTree, plan: DrawPlan, copies: LeafCounts, given: Mapping[str, LeafCounts]) -> pa.Table:
    """Return one row per rule and level with its balance: the chosen one, the baselines, and those measured.

    imbalance: over stable partitions, where the strategy measured it; else null.
    """
    found = []
    for name, counts in {"chosen": copies, **given}.items():
        for level in range(1, tree.depth + 1):
            present = tree.lift(tree.sizes, level) > 0
            measures = balance(tree.lift(counts, level), present)
            found.append({"rule": name, "scope": f"level-{level}", "imbalance": None, **measures})
    found += [{"rule": name, "scope": "held-out", "imbalance": value} for name, value in plan.measured.items()]
    return pa.Table.from_pylist(found)


def cost(config: SamplingConfig, work: Workload) -> float:
    """Return the CPU-seconds of sampling a pool."""
    return 0.1 + 1.65e-5 * work.rows


SAMPLE = Step("sample", 25, sample, cost=cost)
