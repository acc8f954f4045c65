"""Balance and coverage at many sizes, on a pool that is clustered once."""

from typing import Any

from rich.console import Console

from flows.pipeline import CURATION
from flows.recipe import Recipe
from flows.running import running
from infra.workspace import StepRef
from tasks.sample.step import SAMPLE
from tasks.sample.sweep import sweep


def sweep_sizes(recipe: Recipe, targets: list[str], console: Console) -> list[dict[str, Any]]:
    """Return `tasks.sample.sweep.sweep` of a recipe at these targets; steps that are not done yet are done first."""
    done: dict[str, StepRef] = {}
    with running(recipe) as run:
        for stage in CURATION:
            if stage.step is SAMPLE:
                break
            console.print(f"[dim]{stage.step.name}[/]")
            inputs = {name: done[name] for name in stage.inputs}
            done[stage.step.name] = stage.step(stage.config(recipe), inputs, run)
        return sweep(recipe.sampling, done, targets, run)
