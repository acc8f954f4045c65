"""Balance and coverage at many sizes, on a pool that is clustered once."""

from typing import Any

from pydantic import BaseModel
from rich.console import Console

from evenkeel.flows.lineage import look_back
from evenkeel.flows.pipeline import follow_clusters
from evenkeel.flows.recipe import Recipe
from evenkeel.flows.running import running
from evenkeel.infra.workspace import StepRef
from evenkeel.tasks.inputs import Inputs
from evenkeel.tasks.sample.inputs import SampleInputs
from evenkeel.tasks.sample.sweep import sweep
from evenkeel.tasks.step import Step


def sweep_sizes(recipe: Recipe, targets: list[str], console: Console) -> list[dict[str, Any]]:
    """Return the sweep of a recipe over these targets; steps that are not done yet are done first."""
    with running(recipe) as run:

        def follow(step: Step[Any, Any], config: BaseModel, inputs: Inputs) -> StepRef:
            console.print(f"[dim]{step.name}[/]")
            return step(config, inputs, run)

        done = follow_clusters(recipe, look_back(recipe, run.workspace), follow, lambda _: None)
        return sweep(recipe.sampling, SampleInputs.of(done), targets, run)
