"""The main flow: ingest -> embed -> dedup -> cluster -> sample -> stage -> measure -> validate -> report -> publish."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from prefect import flow, task
from prefect.artifacts import create_markdown_artifact, create_table_artifact
from prefect.events import emit_event
from prefect.logging import get_run_logger
from pydantic import BaseModel

from flows.perform import perform
from flows.recipe import Recipe, RecipeFile
from infra import storage
from infra.compute import open_compute
from infra.errors import GateFailed
from infra.workspace import StepRef
from tasks.cluster.step import CLUSTER
from tasks.dedup.step import DEDUP
from tasks.embed.step import EMBED
from tasks.ingest.step import INGEST, ingest_request
from tasks.measure.config import MeasureConfig
from tasks.measure.profile import Profile
from tasks.measure.step import MEASURE
from tasks.publish.publish import publish
from tasks.publish.stage import STAGE
from tasks.publish.versions import Version, list_versions
from tasks.report.config import ReportConfig
from tasks.report.step import REPORT
from tasks.sample.step import SAMPLE
from tasks.step import Run, Step
from tasks.validate.step import VALIDATE


@flow(name="curate", flow_run_name="curate", persist_result=True, result_serializer="json")
def curate(recipe: Recipe | RecipeFile, force: bool = False) -> dict[str, Any]:
    """Curate a pool into a balanced, validated, published version.

    Args:
        recipe: What to curate, how, and where to publish it; or the file that says so.
        force: Publish a new version even where nothing has changed since the last one.
    """
    wanted = recipe.load() if isinstance(recipe, RecipeFile) else recipe
    log = get_run_logger()
    with running(wanted) as run:
        done = build(wanted, run)
        show_artifacts(wanted, done)
        if failed := done["validate"].facts["failed"]:
            emit(wanted, "blocked", {"failed": [failure["expectation"] for failure in failed]})
            raise GateFailed(
                f"{len(failed)} blocking expectation(s) failed; nothing was published",
                found="; ".join(str(failure["reason"]) for failure in failed),
                where=done["report"].uri,
                remedy="read the card and the Data Docs; change the recipe or its gates",
            )
        published = publish_version(wanted, done, run.workspace, force)
    log.info("%s v%s: %s", wanted.dataset, published["version"], published["status"])
    if published["status"] == "published":
        emit(wanted, "published", {name: published[name] for name in ("version", "location", "rows")})
    return summary(wanted, done, published)


@contextmanager
def running(recipe: Recipe) -> Iterator[Run]:
    """Yield where and how the steps of `recipe` run: its compute, started when first needed, and a scratch folder."""
    with (
        tempfile.TemporaryDirectory(prefix="evenkeel-") as scratch,
        open_compute(recipe.compute, Path(scratch)) as compute,
    ):
        workspace = str(Path(recipe.workspace).absolute()) if storage.is_local(recipe.workspace) else recipe.workspace
        yield Run(workspace, recipe.dataset, Path(scratch), compute)


def build(recipe: Recipe, run: Run) -> dict[str, StepRef]:
    """Run every step up to the card and return the finished outputs by step name. Nothing is visible yet."""
    done: dict[str, StepRef] = {}

    def step(wanted: Step, config: BaseModel, *names: str) -> None:
        inputs = {name: done[name] for name in names if name in done}
        done[wanted.name] = perform(wanted, config, inputs, run)

    step(INGEST, ingest_request(recipe.source))
    step(EMBED, recipe.embedding, "ingest")
    step(DEDUP, recipe.dedup, "ingest", "embed")
    step(CLUSTER, recipe.clustering, "ingest", "embed", "dedup")
    step(SAMPLE, recipe.sampling, "ingest", "embed", "dedup", "cluster")
    step(STAGE, recipe.destination, "ingest", "dedup", "cluster", "sample")
    history = earlier_versions(recipe, run, done["stage"])
    if history:
        done["previous"] = history[-1].profile
    step(MEASURE, MeasureConfig(), "ingest", "embed", "dedup", "cluster", "sample", "previous")
    step(VALIDATE, recipe.gates, "ingest", "measure", "previous")
    report = ReportConfig(dataset=recipe.dataset, recipe=recipe.model_dump(mode="json"), version=len(history) + 1)
    step(REPORT, report, *done)
    return done
