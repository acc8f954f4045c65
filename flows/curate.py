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

from flows.perform import perform
from flows.pipeline import CURATION, PROOF, Stage
from flows.recipe import Recipe, RecipeFile
from infra import storage
from infra.compute import open_compute
from infra.errors import GateFailed
from infra.workspace import StepRef
from tasks.measure.profile import Profile
from tasks.publish.layout import check_destination
from tasks.publish.publish import PublishResult, publish
from tasks.report.config import ReportConfig
from tasks.report.step import REPORT
from tasks.step import Run


@flow(name="curate", flow_run_name="curate", persist_result=True, result_serializer="json")
def curate(recipe: Recipe | RecipeFile, force: bool = False) -> dict[str, Any]:
    """Curate a pool into a balanced, validated, published version.

    Args:
        recipe: What to curate, how, and where to publish it; or the file that says so.
        force: Publish a new version even where nothing has changed since the last one.
    """
    wanted = recipe.load() if isinstance(recipe, RecipeFile) else recipe
    log = get_run_logger()
    check_destination(wanted.destination.uri, wanted.dataset)
    with running(wanted) as run:
        done = build(wanted, run)
        show_artifacts(wanted, done)
        if failed := done["validate"].facts["failed"]:
            emit(wanted, "blocked", {"failed": failed, "card": done["report"].uri})
            raise GateFailed(
                f"{len(failed)} blocking expectation(s) failed; nothing was published",
                found="; ".join(str(failure["reason"]) for failure in failed),
                where=storage.join(done["report"].uri, "card.html"),
                remedy="read the card and the Data Docs beside it; change the recipe or its gates",
            )
        published = publish_version(wanted, done, run.workspace, force)
    log.info("%s v%s: %s", wanted.dataset, published["version"], published["status"])
    if published["status"] == "published":
        emit(wanted, "published", {name: published[name] for name in ("version", "location", "rows")})
    return summary(wanted, run.workspace, done, published)


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

    def follow(stage: Stage) -> None:
        inputs = {name: done[name] for name in stage.inputs if name in done}
        done[stage.step.name] = perform(stage.step, stage.config(recipe), inputs, run)

    for stage in CURATION:
        follow(stage)
    history = earlier_versions(recipe, run, done["stage"])
    if history:
        done["previous"] = history[-1]
    for stage in PROOF:
        follow(stage)
    report = ReportConfig(dataset=recipe.dataset, recipe=recipe.model_dump(mode="json"), version=len(history) + 1)
    done["report"] = perform(REPORT, report, done, run)
    return done


@task(name="publish", task_run_name="publish", retries=2, retry_delay_seconds=5)
def publish_version(recipe: Recipe, done: dict[str, StepRef], workspace: str, force: bool) -> dict[str, Any]:
    """Make the staged version visible in one commit, with its card, proof and manifest beside it."""
    result: PublishResult = publish(recipe.destination, recipe.dataset, done["stage"], {}, {}, workspace, force)
    return result.model_dump(mode="json")


def show_artifacts(recipe: Recipe, done: dict[str, StepRef]) -> None:
    """Show the card's summary and the balance table in the Prefect UI."""
    card = storage.read_bytes(storage.join(done["report"].uri, "card.md")).decode()
    create_markdown_artifact(card, key=f"{recipe.dataset.replace('_', '-')}-card", description="What this run made")
    create_table_artifact(
        Profile.open(done["measure"]).balance.to_dict("records"),
        key=f"{recipe.dataset.replace('_', '-')}-balance",
        description="Balance before and after, beside the baselines",
    )


def emit(recipe: Recipe, what: str, payload: dict[str, Any]) -> None:
    """Tell the Prefect server that a version was published or blocked, or that the pool drifted."""
    resource = {
        "prefect.resource.id": f"evenkeel.dataset.{recipe.dataset}",
        "prefect.resource.name": recipe.dataset,
    }
    emit_event(f"evenkeel.version.{what}", resource=resource, payload={"dataset": recipe.dataset, **payload})
