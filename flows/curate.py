"""The main flow: ingest -> embed -> dedup -> cluster -> sample -> stage -> measure -> validate -> report -> publish."""

from typing import Any

from prefect import flow, task
from prefect.artifacts import create_link_artifact, create_markdown_artifact, create_table_artifact
from prefect.events import emit_event
from prefect.logging import get_run_logger
from prefect.runtime import flow_run
from pydantic import BaseModel

from evenkeel.flows.approval import decide
from evenkeel.flows.artifacts import artifact_key, show
from evenkeel.flows.history import day_made, earlier_versions, profile_of, sampled_alike
from evenkeel.flows.lineage import Lineage, look_back, remember
from evenkeel.flows.perform import perform
from evenkeel.flows.pipeline import PROOF, follow_curation
from evenkeel.flows.plan import plan
from evenkeel.flows.recipe import Recipe, RecipeFile
from evenkeel.flows.running import running
from evenkeel.infra import storage
from evenkeel.infra.errors import GateFailed
from evenkeel.infra.workspace import StepRef
from evenkeel.tasks.inputs import Inputs
from evenkeel.tasks.measure.profile import TABLES, Profile
from evenkeel.tasks.publish.layout import check_destination
from evenkeel.tasks.publish.publish import leave_evidence, publish
from evenkeel.tasks.publish.staging.step import read_staged
from evenkeel.tasks.publish.table import Version
from evenkeel.tasks.report.config import PastVersion, ReportConfig
from evenkeel.tasks.report.inputs import ReportInputs
from evenkeel.tasks.report.step import REPORT
from evenkeel.tasks.step import Run, Step
from evenkeel.tasks.validate.step import VALIDATE
from evenkeel.tasks.versions.listing import previous_version


def run_name() -> str:
    """Name a run after what it curates."""
    recipe = flow_run.parameters["recipe"]
    return f"curate {getattr(recipe, 'dataset', None) or getattr(recipe, 'file', '')}"


@flow(name="curate", flow_run_name=run_name, persist_result=True, result_serializer="json")
def curate(recipe: Recipe | RecipeFile, force: bool = False, dry_run: bool = False) -> dict[str, Any]:
    """Curate a pool into a balanced, validated, published version.

    Args:
        recipe: What to curate, how, and where to publish it; or the file that says so.
        force: Publish a new version even where nothing has changed since the last one.
        dry_run: Only say what a run would read and take, and what would not fit; curate and publish nothing.
    """
    wanted = recipe.load() if isinstance(recipe, RecipeFile) else recipe
    log = get_run_logger()
    check_destination(wanted.destination.uri, wanted.dataset)
    if dry_run:
        return show_plan(wanted)
    with running(wanted) as run:
        lineage = look_back(wanted, run.workspace)
        remember(wanted, run.workspace, lineage.request)
        done = build(wanted, lineage, run)
        log.info("%s; clusters: %s", lineage.changes.told(), lineage.why)
        show_artifacts(wanted, done)
        if failed := done["validate"].facts["failed"]:
            place = leave_evidence(wanted.destination, wanted.dataset, done["report"].key, proof(done))
            emit(wanted, "blocked", {"failed": failed, "card": place})
            show_links(wanted, place)
            raise GateFailed(
                f"{len(failed)} blocking expectation(s) failed; nothing was published",
                found="; ".join(str(failure["reason"]) for failure in failed),
                where=storage.join(place, "card.html"),
                remedy="read the card and the Data Docs beside it; change the recipe or its gates",
            )
        if wanted.gates.approval == "required" and (force or is_new(wanted, run.workspace, done)):
            ask(wanted, done)
        published = publish_version(wanted, lineage, done, run.workspace, force)
    log.info("%s v%s: %s", wanted.dataset, published["version"], published["status"])
    show_links(wanted, published["location"])
    show_version(wanted, published)
    if published["status"] == "published":
        emit(wanted, "published", {name: published[name] for name in ("version", "location", "rows")})
    return summary(lineage, run.workspace, done, published)


def build(recipe: Recipe, lineage: Lineage, run: Run) -> dict[str, StepRef]:
    """Run every step up to the card and return the finished outputs by step name. Nothing is visible yet."""

    def follow(step: Step[Any, Any], config: BaseModel, inputs: Inputs) -> StepRef:
        return perform(step, config, inputs, run)

    def drifted(found: Lineage) -> None:
        emit(recipe, "drifted", {"since": found.changes.since, "reason": found.why, "drift": found.drift})

    done = follow_curation(recipe, lineage, follow, drifted)
    content = read_staged(done["stage"]).content_key
    history = earlier_versions(recipe, run.workspace, content)
    if history:
        done["previous"] = profile_of(history[-1])
    for stage in PROOF:
        known = dict(done)
        if stage.step is VALIDATE and "previous" in known and not sampled_alike(recipe, known["previous"]):
            del known["previous"]
        done[stage.step.name] = perform(stage.step, stage.config(recipe), stage.inputs.of(known), run)
    report = ReportConfig(
        dataset=recipe.dataset,
        recipe=recipe.model_dump(mode="json"),
        version=history[-1].version + 1 if history else 1,
        created=day_made(recipe, run.workspace, content),
        price_per_hour=recipe.price_per_hour,
        history=[past(version) for version in history[-10:]],
    )
    done["report"] = perform(REPORT, report, ReportInputs.of(done), run)
    return done


def ask(recipe: Recipe, done: dict[str, StepRef]) -> None:
    """Return when a person has approved the version; raise GateFailed, and tell whoever listens, when one declined."""
    card = storage.read_bytes(storage.join(done["report"].uri, "card.md")).decode()
    try:
        answer = decide(card, read_staged(done["stage"]).content_key, recipe.gates.approval_hours)
    except GateFailed as refusal:
        reason = f"{refusal.message}: {refusal.found}" if refusal.found else refusal.message
        emit(recipe, "blocked", {"failed": [{"reason": reason}], "card": done["report"].uri})
        raise
    get_run_logger().info("approved: %s", answer.reason or "no reason given")


def is_new(recipe: Recipe, workspace: str, done: dict[str, StepRef]) -> bool:
    """Tell whether publishing would make a new version rather than find the current one unchanged."""
    current = previous_version(recipe.destination, recipe.dataset, workspace)
    return current is None or current.content_key != read_staged(done["stage"]).content_key


def past(version: Version) -> PastVersion:
    """Return what the card says of an earlier version."""
    metrics = {name: value for name, value in version.metrics.items() if isinstance(value, float)}
    return PastVersion(version=version.version, created=version.created, rows=version.rows, metrics=metrics)


@task(name="publish", task_run_name="publish", retries=2, retry_delay_seconds=5)
def publish_version(
    recipe: Recipe, lineage: Lineage, done: dict[str, StepRef], workspace: str, force: bool
) -> dict[str, Any]:
    """Make the staged version visible in one commit, with its card, proof and manifest beside it."""
    measured = done["measure"]
    extras = {
        **{f"profile/{name}.parquet": storage.join(measured.uri, f"{name}.parquet") for name in TABLES},
        "profile/sketch.npy": storage.join(measured.uri, "sketch.npy"),
        **proof(done),
    }
    document = {
        "recipe": recipe.model_dump(mode="json"),
        "seed": recipe.sampling.seed,
        "metrics": measured.facts,
        "steps": {name: ref.model_dump(mode="json") for name, ref in done.items()},
        **lineage.document(),
    }
    result = publish(recipe.destination, recipe.dataset, done["stage"], extras, document, workspace, force)
    return result.model_dump(mode="json")


def proof(done: dict[str, StepRef]) -> dict[str, str]:
    """Return where card, expectation results and Data Docs of a run lie, by their names in a version's folder."""
    report, validated = done["report"].uri, done["validate"].uri
    return {
        "card.html": storage.join(report, "card.html"),
        "README.md": storage.join(report, "README.md"),
        "expectations.json": storage.join(validated, "results.json"),
        "docs": storage.join(validated, "docs"),
    }


def summary(lineage: Lineage, workspace: str, done: dict[str, StepRef], published: dict[str, Any]) -> dict[str, Any]:
    """Return what the command line and the run's result say: version, fates, balance, card, how to read it."""
    profile = Profile.open(done["measure"])
    return {
        **published,
        "card": storage.join(published["location"], "card.html"),
        "totals": profile.records("totals")[0],
        "balance": profile.records("balance"),
        "shards": lineage.changes.model_dump(mode="json"),
        "clusters": lineage.why,
        "drift": lineage.drift,
        "workspace": workspace,
        "steps": {name: ref.model_dump(mode="json") for name, ref in done.items()},
        "read_with": [
            f'pandas.read_parquet("{published["data"]}")',
            f"duckdb.sql(\"select * from read_parquet('{published['data']}/*.parquet')\")",
        ],
    }


def show_plan(recipe: Recipe) -> dict[str, Any]:
    """Show in the Prefect UI what a run would read and take, and return it; raise ResourceError where it cannot fit."""
    with running(recipe) as run:
        planned = plan(recipe, run)
    steps = "\n".join(f"| {name} | {seconds:,.1f} |" for name, seconds in planned.expected().items())
    text = "\n\n".join([*planned.told(), f"| step to do | seconds, about |\n| --- | ---: |\n{steps}" if steps else ""])
    show(
        create_markdown_artifact,
        text,
        key=artifact_key(recipe.dataset, "plan"),
        description="What a run would take",
    )
    planned.require_fit()
    return planned.model_dump(mode="json")


def show_artifacts(recipe: Recipe, done: dict[str, StepRef]) -> None:
    """Show the card's summary and the balance table in the Prefect UI."""
    card = storage.read_bytes(storage.join(done["report"].uri, "card.md")).decode()
    show(create_markdown_artifact, card, key=artifact_key(recipe.dataset, "card"), description="What this run made")
    show(
        create_table_artifact,
        [readable(row) for row in Profile.open(done["measure"]).records("balance")],
        key=artifact_key(recipe.dataset, "balance"),
        description="Balance before and after, beside the baselines",
    )


def readable(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row of a table with its numbers rounded to four digits."""
    return {name: float(f"{value:.4g}") if isinstance(value, float) else value for name, value in row.items()}


def show_links(recipe: Recipe, folder: str) -> None:
    """Link the card and the Data Docs in `folder` from the run's page in the Prefect UI."""
    places = {"card": storage.join(folder, "card.html"), "data docs": storage.join(folder, "docs", "index.html")}
    for name, place in places.items():
        show(
            create_link_artifact,
            storage.web_address(place),
            link_text=f"{recipe.dataset}: {name}",
            description=place,
            key=artifact_key(recipe.dataset, f"{name}-link"),
        )


def show_version(recipe: Recipe, published: dict[str, Any]) -> None:
    """Say on the run's page in the Prefect UI which version came out and where it lies."""
    lines = [f"**{recipe.dataset} v{published['version']}**: {published['rows']:,} rows, {published['status']}", ""]
    places = {name: published[name] for name in ("location", "data")}
    lines += [f"- [{name}]({storage.web_address(place)}): `{place}`" for name, place in places.items()]
    key = artifact_key(recipe.dataset, "version")
    show(create_markdown_artifact, "\n".join(lines), key=key, description=f"v{published['version']}, and where it lies")


def emit(recipe: Recipe, what: str, payload: dict[str, Any]) -> None:
    """Tell the Prefect server that a version was published or blocked, or that the pool drifted."""
    resource = {
        "prefect.resource.id": f"evenkeel.dataset.{recipe.dataset}",
        "prefect.resource.name": recipe.dataset,
    }
    emit_event(f"evenkeel.version.{what}", resource=resource, payload={"dataset": recipe.dataset, **payload})
