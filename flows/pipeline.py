"""The order of the steps, what each is configured by, and what each builds on."""

from collections.abc import Callable
from dataclasses import dataclass

from pydantic import BaseModel

from flows.recipe import Recipe
from infra import storage
from tasks.cluster.step import CLUSTER
from tasks.dedup.lists import dedup_request
from tasks.dedup.step import DEDUP
from tasks.embed.step import EMBED
from tasks.ingest.source import ingest_request
from tasks.ingest.step import INGEST
from tasks.measure.config import MeasureConfig
from tasks.measure.step import MEASURE
from tasks.publish.exclusions import TAKEDOWNS
from tasks.publish.layout import dataset_folder
from tasks.publish.stage import STAGE
from tasks.sample.step import SAMPLE
from tasks.step import Step
from tasks.validate.step import VALIDATE


@dataclass(frozen=True)
class Stage:
    """One step of the flow: `config` takes its part of the recipe, `inputs` name the outputs it builds on."""

    step: Step
    config: Callable[[Recipe], BaseModel]
    inputs: tuple[str, ...] = ()


def _takedowns(recipe: Recipe) -> str:
    return storage.join(dataset_folder(recipe.destination.uri, recipe.dataset), TAKEDOWNS)


CURATION = (
    Stage(INGEST, lambda recipe: ingest_request(recipe.source)),
    Stage(EMBED, lambda recipe: recipe.embedding, ("ingest",)),
    Stage(DEDUP, lambda recipe: dedup_request(recipe.dedup, _takedowns(recipe)), ("ingest", "embed")),
    Stage(CLUSTER, lambda recipe: recipe.clustering, ("ingest", "embed", "dedup")),
    Stage(SAMPLE, lambda recipe: recipe.sampling, ("ingest", "embed", "dedup", "cluster")),
    Stage(STAGE, lambda recipe: recipe.destination.staging(), ("ingest", "dedup", "cluster", "sample")),
)
PROOF = (
    Stage(MEASURE, lambda _: MeasureConfig(), ("ingest", "embed", "dedup", "cluster", "sample", "previous")),
    Stage(
        VALIDATE,
        lambda recipe: recipe.gates,
        ("ingest", "embed", "dedup", "cluster", "sample", "measure", "previous"),
    ),
)
