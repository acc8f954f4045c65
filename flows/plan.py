"""What a run would do: the shards it would read, and which steps are in the workspace already."""

from collections.abc import Mapping

from pydantic import BaseModel

from flows.lineage import Changes, look_back
from flows.pipeline import follow_curation
from flows.recipe import Recipe
from infra.workspace import StepRef
from tasks.step import Run, Step


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
    changes: Changes
    clusters: str
    steps: list[PlannedStep]
    compute: str
    workspace: str
    destination: str


def plan(recipe: Recipe, run: Run) -> Plan:
    """Return what running `recipe` would do. Lists the source and looks at the workspace; reads and writes no data."""
    steps: dict[str, PlannedStep] = {}

    def look(step: Step, config: BaseModel, inputs: Mapping[str, StepRef]) -> StepRef:
        folder = step.folder(config, inputs, run)
        finished = step.finished(config, inputs, run)
        steps[step.name] = PlannedStep(
            name=step.name,
            key=folder.key,
            done=finished is not None,
            counts=finished.counts if finished else {},
            seconds=finished.seconds if finished else None,
        )
        return finished or StepRef(step=step.name, key=folder.key, uri=folder.uri)

    lineage = look_back(recipe, run.workspace)
    follow_curation(recipe, lineage, look, lambda _: None)
    request = lineage.request
    return Plan(
        dataset=recipe.dataset,
        shards=len(request.shards),
        bytes=sum(shard.bytes for shard in request.shards),
        changes=lineage.changes,
        clusters=lineage.why,
        steps=list(steps.values()),
        compute=recipe.compute,
        workspace=run.workspace,
        destination=recipe.destination.uri,
    )
