"""The order of the steps, what each is configured by, and what each builds on."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from evenkeel.flows.lineage import Base, Lineage, find_base, same_rule
from evenkeel.flows.recipe import Recipe
from evenkeel.infra import storage
from evenkeel.infra.workspace import StepRef
from evenkeel.tasks.cluster.assign import ASSIGN
from evenkeel.tasks.cluster.config import AssignConfig
from evenkeel.tasks.cluster.drift import Drift
from evenkeel.tasks.cluster.inputs import AssignInputs, ClusterInputs
from evenkeel.tasks.cluster.step import CLUSTER
from evenkeel.tasks.dedup.inputs import DedupInputs
from evenkeel.tasks.dedup.lists import dedup_request
from evenkeel.tasks.dedup.step import DEDUP
from evenkeel.tasks.embed.inputs import EmbedInputs
from evenkeel.tasks.embed.step import EMBED
from evenkeel.tasks.ingest.source import ingest_request
from evenkeel.tasks.ingest.step import INGEST
from evenkeel.tasks.inputs import Inputs, NoInputs
from evenkeel.tasks.measure.config import MeasureConfig
from evenkeel.tasks.measure.inputs import MeasureInputs
from evenkeel.tasks.measure.step import MEASURE
from evenkeel.tasks.publish.exclusions import TAKEDOWNS
from evenkeel.tasks.publish.layout import dataset_folder
from evenkeel.tasks.publish.staging.inputs import StageInputs
from evenkeel.tasks.publish.staging.step import STAGE
from evenkeel.tasks.sample.inputs import SampleInputs
from evenkeel.tasks.sample.step import SAMPLE
from evenkeel.tasks.step import Step
from evenkeel.tasks.validate.inputs import ValidateInputs
from evenkeel.tasks.validate.step import VALIDATE


@dataclass(frozen=True)
class Stage:
    """One step of the flow: `config` takes its part of the recipe, `inputs` are the outputs it builds on."""

    step: Step[Any, Any]
    config: Callable[[Recipe], BaseModel]
    inputs: type[Inputs] = NoInputs


def _takedowns(recipe: Recipe) -> str:
    return storage.join(dataset_folder(recipe.destination.uri, recipe.dataset), TAKEDOWNS)


CURATION = (
    Stage(INGEST, lambda recipe: ingest_request(recipe.source)),
    Stage(EMBED, lambda recipe: recipe.embedding, EmbedInputs),
    Stage(DEDUP, lambda recipe: dedup_request(recipe.dedup, _takedowns(recipe)), DedupInputs),
    Stage(CLUSTER, lambda recipe: recipe.clustering.fitting(), ClusterInputs),
    Stage(SAMPLE, lambda recipe: recipe.sampling, SampleInputs),
    Stage(STAGE, lambda recipe: recipe.destination.staging(), StageInputs),
)
PROOF = (
    Stage(MEASURE, lambda _: MeasureConfig(), MeasureInputs),
    Stage(
        VALIDATE,
        lambda recipe: recipe.gates,
        ValidateInputs,
    ),
)

Follow = Callable[[Step[Any, Any], BaseModel, Inputs], StepRef]


def follow_curation(
    recipe: Recipe, lineage: Lineage, follow: Follow, drifted: Callable[[Lineage], None]
) -> dict[str, StepRef]:
    """Follow the steps from ingest to stage; see `follow_clusters`."""
    done = follow_clusters(recipe, lineage, follow, drifted)
    if lineage.base is not None and lineage.current is not None:
        recipe = same_rule(recipe, lineage.current)
    for stage in CURATION:
        if stage.step in (SAMPLE, STAGE):
            done[stage.step.name] = follow(stage.step, stage.config(recipe), stage.inputs.of(done))
    return done


def follow_clusters(
    recipe: Recipe, lineage: Lineage, follow: Follow, drifted: Callable[[Lineage], None]
) -> dict[str, StepRef]:
    """Follow the steps from ingest to cluster, on the clusters of the current version where they do, else on new ones.

    follow: runs a step, or only looks where its output would lie. drifted: told where the pool has moved too far from
    the clusters there were, before new ones are made. lineage: learns which base was taken, and why.
    """
    stages = {stage.step.name: stage for stage in CURATION}
    done = {"ingest": follow(INGEST, lineage.request, NoInputs())}

    def take(name: str, **more: StepRef) -> None:
        stage = stages[name]
        done[name] = follow(stage.step, stage.config(recipe), stage.inputs.of(done | more))

    def cluster(base: Base | None) -> None:
        take("embed", **({"base": base.embed} if base is not None and base.fitted else {}))
        take("dedup")
        if base is None:
            take("cluster")
            return
        inputs = AssignInputs(done["ingest"], done["embed"], done["dedup"], base.cluster, base.ingest)
        done["cluster"] = follow(ASSIGN, AssignConfig(metric=recipe.clustering.metric), inputs)

    lineage.base, lineage.why = find_base(recipe, lineage.current, done["ingest"])
    cluster(lineage.base)
    if lineage.base is not None and "drift" in done["cluster"].facts:
        lineage.drift = done["cluster"].facts["drift"]
        rows, limit = done["cluster"].counts["rows"], recipe.clustering.drift_limit
        if reason := Drift.model_validate(lineage.drift).reason(rows, limit):
            lineage.base, lineage.why = None, reason
            drifted(lineage)
            cluster(None)
    return done
