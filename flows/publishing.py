"""The last step of a run: a proven version becomes visible, with its card, proof and manifest beside it."""

from typing import Any

from prefect import task

from evenkeel.flows.lineage import Lineage
from evenkeel.flows.pipeline import ProvenVersion
from evenkeel.flows.recipe import Recipe
from evenkeel.infra import storage
from evenkeel.infra.registry import plugins_used
from evenkeel.tasks.measure.profile import TABLES, Profile
from evenkeel.tasks.publish.publish import PublishResult, publish
from evenkeel.tasks.versions.listing import previous_version


def publish_version(
    recipe: Recipe, lineage: Lineage, proven: ProvenVersion, workspace: str, force: bool
) -> PublishResult:
    """Make the staged version visible in one commit, as a Prefect task."""
    return PublishResult.model_validate(_publish_task(recipe, lineage, proven, workspace, force))


@task(name="publish", task_run_name="publish", retries=2, retry_delay_seconds=5)
def _publish_task(
    recipe: Recipe, lineage: Lineage, proven: ProvenVersion, workspace: str, force: bool
) -> dict[str, object]:
    measured = proven.measure
    extras = {
        **{f"profile/{name}.parquet": storage.join(measured.uri, f"{name}.parquet") for name in TABLES},
        "profile/sketch.npy": storage.join(measured.uri, "sketch.npy"),
        **evidence(proven),
    }
    document = {
        "recipe": recipe.model_dump(mode="json"),
        "seed": recipe.sampling.seed,
        "metrics": measured.facts,
        "plugins": plugins_used(recipe),
        "steps": _steps(proven),
        **lineage.document(),
    }
    result = publish(recipe.destination, recipe.dataset, proven.stage, extras, document, workspace, force)
    return result.model_dump(mode="json")


def is_new(recipe: Recipe, workspace: str, proven: ProvenVersion) -> bool:
    """Tell whether publishing would make a new version rather than find the current one unchanged."""
    current = previous_version(recipe.destination, recipe.dataset, workspace)
    return current is None or current.content_key != proven.content_key


def evidence(proven: ProvenVersion) -> dict[str, str]:
    """Return where card, expectation results and Data Docs of a run lie, by their names in a version's folder."""
    report, validated = proven.report.uri, proven.validate.uri
    return {
        "card.html": storage.join(report, "card.html"),
        "README.md": storage.join(report, "README.md"),
        "expectations.json": storage.join(validated, "results.json"),
        "docs": storage.join(validated, "docs"),
    }


def summary(lineage: Lineage, workspace: str, proven: ProvenVersion, published: PublishResult) -> dict[str, Any]:
    """Return what the command line and the run's result say: version, dispositions, balance, card, how to read it."""
    profile = Profile.open(proven.measure)
    return {
        **published.model_dump(mode="json"),
        "card": storage.join(published.location, "card.html"),
        "totals": profile.records("totals")[0],
        "balance": profile.records("balance"),
        "shards": lineage.changes.model_dump(mode="json"),
        "clusters": lineage.why,
        "drift": None if lineage.drift is None else lineage.drift.model_dump(),
        "workspace": workspace,
        "steps": _steps(proven),
        "read_with": [
            f'pandas.read_parquet("{published.data}")',
            f"duckdb.sql(\"select * from read_parquet('{published.data}/*.parquet')\")",
        ],
    }


def _steps(proven: ProvenVersion) -> dict[str, dict[str, object]]:
    return {name: ref.model_dump(mode="json") for name, ref in proven.steps().items()}
