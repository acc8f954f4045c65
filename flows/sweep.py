"""Balance and coverage at many sizes, on a pool that is clustered once."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel
from rich.console import Console

from flows.lineage import look_back
from flows.pipeline import follow_clusters
from flows.recipe import Recipe
from flows.running import running
from infra.workspace import StepRef
from tasks.sample.sweep import sweep
from tasks.step import Step


def sweep_sizes(recipe: Recipe, targets: list[str], console: Console) -> list[dict[str, Any]]:
    """Return `tasks.sample.sweep.sweep` of a recipe at these targets; steps that are not done yet are done first."""
    with running(recipe) as run:

        def follow(step: Step, config: BaseModel, inputs: Mapping[str, StepRef]) -> StepRef:
            console.print(f"[dim]{step.name}[/]")
            return step(config, inputs, run)

        done = follow_clusters(recipe, look_back(recipe, run.workspace), follow, lambda _: None)
        return sweep(recipe.sampling, done, targets, run)
