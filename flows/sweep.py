"""Balance and coverage at many sizes, or many pulls towards a target, on a pool that is clustered once."""

from dataclasses import replace

from rich.console import Console

from evenkeel.flows.lineage import resolve_lineage
from evenkeel.flows.pipeline import cluster_pool, sample_inputs
from evenkeel.flows.recipe import Recipe
from evenkeel.flows.running import running
from evenkeel.infra.workspace import StepRef
from evenkeel.tasks.distance.tradeoff import PullRow, sweep_pulls
from evenkeel.tasks.sample.balanced.config import PartitionConfig
from evenkeel.tasks.sample.balanced.steps import PARTITION
from evenkeel.tasks.sample.inputs import PartitionInputs
from evenkeel.tasks.sample.strategies.toward import Toward
from evenkeel.tasks.sample.sweep import SweepRow, sweep
from evenkeel.tasks.step import ConfigT, InputsT, Run, RunStep, Step


def sweep_toward(recipe: Recipe, pulls: list[float], console: Console) -> list[PullRow]:
    """Return the sweep of a recipe's pull towards its target; steps that are not done yet are done first."""
    sampling, strategy = recipe.sampling, recipe.sampling.strategy
    if isinstance(strategy, Toward):  # with a part of `balanced`, whose measures every blend needs
        sampling = sampling.model_copy(update={"strategy": strategy.model_copy(update={"toward": 0.5})})
    with running(recipe) as run:
        run_step = _shown(run, console)
        pool = cluster_pool(recipe, resolve_lineage(recipe, run.workspace), run_step)
        inputs = sample_inputs(sampling, pool, run_step)
        return sweep_pulls(recipe.sampling, inputs, pulls, run)


def sweep_sizes(recipe: Recipe, targets: list[str], console: Console) -> list[SweepRow]:
    """Return the sweep of a recipe over these targets; steps that are not done yet are done first."""
    with running(recipe) as run:
        run_step = _shown(run, console)
        pool = cluster_pool(recipe, resolve_lineage(recipe, run.workspace), run_step)
        inputs = sample_inputs(recipe.sampling, pool, run_step)
        if inputs.partition is None:
            clustered = PartitionInputs(pool.ingest, pool.embed, pool.cluster)
            inputs = replace(inputs, partition=run_step(PARTITION, PartitionConfig(), clustered))
        return sweep(recipe.sampling, inputs, targets, run)


def _shown(run: Run, console: Console) -> RunStep:
    """Return a way to run steps here, each named as it begins."""

    def run_step(step: Step[ConfigT, InputsT], config: ConfigT, inputs: InputsT) -> StepRef:
        console.print(f"[dim]{step.name}[/]")
        return step(config, inputs, run)

    return run_step
