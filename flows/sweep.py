"""Balance and coverage at many sizes, on a pool that is clustered once."""

from dataclasses import replace

from rich.console import Console

from evenkeel.flows.lineage import resolve_lineage
from evenkeel.flows.pipeline import cluster_pool, sample_inputs
from evenkeel.flows.recipe import Recipe
from evenkeel.flows.running import running
from evenkeel.infra.workspace import StepRef
from evenkeel.tasks.sample.balanced.config import PartitionConfig
from evenkeel.tasks.sample.balanced.steps import PARTITION
from evenkeel.tasks.sample.inputs import PartitionInputs
from evenkeel.tasks.sample.sweep import SweepRow, sweep
from evenkeel.tasks.step import ConfigT, InputsT, Step


def sweep_sizes(recipe: Recipe, targets: list[str], console: Console) -> list[SweepRow]:
    """Return the sweep of a recipe over these targets; steps that are not done yet are done first."""
    with running(recipe) as run:

        def run_step(step: Step[ConfigT, InputsT], config: ConfigT, inputs: InputsT) -> StepRef:
            console.print(f"[dim]{step.name}[/]")
            return step(config, inputs, run)

        pool = cluster_pool(recipe, resolve_lineage(recipe, run.workspace), run_step)
        inputs = sample_inputs(recipe.sampling, pool, run_step)
        if inputs.partition is None:
            clustered = PartitionInputs(pool.ingest, pool.embed, pool.cluster)
            inputs = replace(inputs, partition=run_step(PARTITION, PartitionConfig(), clustered))
        return sweep(recipe.sampling, inputs, targets, run)
