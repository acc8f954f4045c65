"""Balance and coverage at many sizes, on a pool that is clustered once."""

from rich.console import Console

from evenkeel.flows.lineage import resolve_lineage
from evenkeel.flows.pipeline import cluster_pool
from evenkeel.flows.recipe import Recipe
from evenkeel.flows.running import running
from evenkeel.infra.workspace import StepRef
from evenkeel.tasks.sample.inputs import SampleInputs
from evenkeel.tasks.sample.sweep import SweepRow, sweep
from evenkeel.tasks.step import ConfigT, InputsT, Step


def sweep_sizes(recipe: Recipe, targets: list[str], console: Console) -> list[SweepRow]:
    """Return the sweep of a recipe over these targets; steps that are not done yet are done first."""
    with running(recipe) as run:

        def run_step(step: Step[ConfigT, InputsT], config: ConfigT, inputs: InputsT) -> StepRef:
            console.print(f"[dim]{step.name}[/]")
            return step(config, inputs, run)

        pool = cluster_pool(recipe, resolve_lineage(recipe, run.workspace), run_step)
        return sweep(recipe.sampling, SampleInputs(pool.ingest, pool.embed, pool.dedup, pool.cluster), targets, run)
