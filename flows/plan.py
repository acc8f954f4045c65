"""What a run would do: the shards it would read, and which steps are in the workspace already."""

from typing import Any

from pydantic import BaseModel

from flows.pipeline import CURATION
from flows.recipe import Recipe
from infra.workspace import StepRef
from tasks.ingest.config import IngestRequest
from tasks.step import Run


class PlannedStep(BaseModel):
    """One step of a plan: done already (with its counts), or to do."""

    name: str
    key: str
    done: bool
    counts: dict[str, int] = {}
    seconds: float | None = None


class Plan(BaseModel):
    """The answer to `evenkeel plan`."""

    dataset: str
    shards: int
    bytes: int
    steps: list[PlannedStep]
    compute: str
    workspace: str
    destination: str


def plan(recipe: Recipe, run: Run) -> Plan:
    """Return what running `recipe` would do. Lists the source and looks at the workspace; reads and writes no data."""
    keys: dict[str, StepRef] = {}
    steps: list[PlannedStep] = []
    request = CURATION[0].config(recipe)
    assert isinstance(request, IngestRequest)
    for stage in CURATION:
        config = request if stage is CURATION[0] else stage.config(recipe)
        folder = stage.step.folder(config, {name: keys[name] for name in stage.inputs}, run)
        finished = folder.done()
        keys[stage.step.name] = StepRef(step=stage.step.name, key=folder.key, uri=folder.uri)
        steps.append(
            PlannedStep(
                name=stage.step.name,
                key=folder.key,
                done=finished is not None,
                counts=finished.counts if finished else {},
                seconds=finished.seconds if finished else None,
            )
        )
    return Plan(
        dataset=recipe.dataset,
        shards=len(request.shards),
        bytes=sum(shard.bytes for shard in request.shards),
        steps=steps,
        compute=recipe.compute,
        workspace=run.workspace,
        destination=recipe.destination.uri,
    )


def as_rows(planned: Plan) -> list[dict[str, Any]]:
    """Return the steps of a plan as plain rows for a table."""
    return [step.model_dump() for step in planned.steps]
