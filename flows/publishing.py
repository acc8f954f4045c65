"""The last step of a run: a proven version becomes visible, with its card, proof and manifest beside it."""

from typing import Any

from prefect import task
from prefect.logging import get_run_logger

from evenkeel.flows.approved import approved_document
from evenkeel.flows.feeding import made_before
from evenkeel.flows.history import earlier_versions
from evenkeel.flows.known_errors import without_tracebacks
from evenkeel.flows.lineage import Lineage
from evenkeel.flows.pipeline import ProvenVersion, draw_card, tier_reached
from evenkeel.flows.recipe import Recipe
from evenkeel.flows.web import commit_link, run_link
from evenkeel.infra import storage
from evenkeel.infra.registry import plugins_used
from evenkeel.infra.workspace import StepRef
from evenkeel.tasks.measure.profile import Profile
from evenkeel.tasks.publish.extras import DrawExtras, Extras
from evenkeel.tasks.publish.layout import CLUSTERS
from evenkeel.tasks.publish.origin import of_document, origin_files
from evenkeel.tasks.publish.publish import PublishResult, publish
from evenkeel.tasks.publish.staging.step import read_staged
from evenkeel.tasks.report.run_mark import with_run
from evenkeel.tasks.step import InProcess, Run
from evenkeel.tasks.versions.listing import previous_version


def publish_version(
    recipe: Recipe, lineage: Lineage, proven: ProvenVersion, run: Run, force: bool, approval: str | None = None
) -> PublishResult:
    """Make the staged version visible in one commit, as a Prefect task; its card names the number that it gets.

    approval: the reason of the person who approved it, None where nobody was asked.
    """

    def draw(number: int, folder: str) -> Extras:
        named = draw_card(recipe, run.workspace, proven, (number, folder), InProcess(run), approval)
        held = set() if proven.sources is None else Profile.open(proven.measure).held(str(proven.sources.facts["name"]))
        origin = origin_files(read_staged(proven.stage), recipe.dataset, number, plain, proven.sources, held)
        return {**_profile(proven), **evidence(named), **origin, CLUSTERS: storage.join(named.report.uri, CLUSTERS)}

    plain, tier = recipe.model_dump(mode="json"), tier_reached(recipe, proven.validate, approval)
    document = {
        "recipe": plain,
        "seed": recipe.sampling.seed,
        "metrics": proven.measure.facts,
        "plugins": plugins_used(recipe),
        "steps": _steps(proven),
        **lineage.document(),
        **approved_document(recipe),
        **of_document(proven.sources),
        **({} if tier is None else {"tier": tier.model_dump(mode="json")}),
        **({} if approval is None else {"approval": approval}),
    }
    return PublishResult.model_validate(
        _publish_task(
            recipe,
            proven.stage,
            draw,
            document,
            run.workspace,
            force,
            wait_for=made_before((proven.stage, proven.validate, proven.report)),
        )
    )


@task(name="publish", task_run_name="publish", retries=2, retry_delay_seconds=5)
def _publish_task(
    recipe: Recipe, stage: StepRef, draw: DrawExtras, document: dict[str, object], workspace: str, force: bool
) -> dict[str, object]:
    without_tracebacks()
    result = publish(recipe.destination, recipe.dataset, stage, draw, document, workspace, force)
    get_run_logger().info("%s", outcome(result))
    return result.model_dump(mode="json")


def _profile(proven: ProvenVersion) -> dict[str, str]:
    """Return where the tables of a run's profile lie, by their names in a version's folder."""
    names = Profile.open(proven.measure).files()
    return {f"profile/{name}": storage.join(proven.measure.uri, name) for name in names}


def is_new(recipe: Recipe, workspace: str, proven: ProvenVersion) -> bool:
    """Tell whether publishing would change what readers find, rather than find the version there already."""
    same = earlier_versions(recipe, workspace, proven.content_key).same
    current = previous_version(recipe.destination, recipe.dataset, workspace)
    held = current is not None and current.held is not None
    return same is None or not (same.current or held)


def evidence(proven: ProvenVersion) -> dict[str, str | bytes]:
    """Return card, expectation results and Data Docs of a run by their names in a version's folder.

    The card names the run and the commit; other files are given by where they lie.
    """
    report, validated = proven.report.uri, proven.validate.uri
    card = storage.read_bytes(storage.join(report, "card.html"))
    return {
        "card.html": with_run(card, run_link(), commit_link()),
        "README.md": storage.join(report, "README.md"),
        "expectations.json": storage.join(validated, "results.json"),
        "docs": storage.join(report, "docs"),
    }


def outcome(published: PublishResult) -> str:
    """Say in one sentence what publishing came to, and which version is held as the current one."""
    name = f"{published.dataset} v{published.version}"
    held = f"; {published.held.sentence}" if published.held is not None else ""
    return {
        "published": f"published {name}: {published.rows:,} rows{held}",
        "unchanged": f"{name} holds these rows already{held}",
        "beside": f"published {name} beside{held}",
        "reinstated": f"{name} is current again: its rows came out once more, and nobody holds v{published.previous}",
    }[published.status]


def in_short(found: dict[str, Any]) -> str:
    """Return what a run came to in a few words, for the list of runs: "v2 published: 1,869 rows"."""
    name = f"v{found['version']}"
    if found["status"] == "unchanged":
        return f"unchanged: {name} holds these {found['rows']:,} rows"
    done = {"published": "published", "beside": "published beside", "reinstated": "current again"}[found["status"]]
    return f"{name} {done}: {found['rows']:,} rows"


def summary(lineage: Lineage, workspace: str, proven: ProvenVersion, published: PublishResult) -> dict[str, Any]:
    """Return what the command line and the run's result say: version, dispositions, balance, card, how to read it."""
    profile = Profile.open(proven.measure)
    return {
        **published.model_dump(mode="json"),
        "outcome": outcome(published),
        "card": storage.join(published.location, "card.html"),
        "totals": profile.records("totals")[0],
        "balance": profile.records("balance"),
        "headline": proven.report.facts["headline"],
        "held_out": proven.report.facts.get("held_out", {}),
        "shards": lineage.changes.model_dump(mode="json"),
        "clusters": lineage.why,
        "drift": None if lineage.drift is None else lineage.drift.model_dump(),
        "notes": [*proven.steps()["ingest"].facts.get("notes", []), *filter(None, [proven.report.facts.get("hedge")])],
        "workspace": workspace,
        "steps": _steps(proven),
        "read_with": [
            f'pandas.read_parquet("{published.data}")',
            f"duckdb.sql(\"select * from read_parquet('{published.data}/*.parquet')\")",
        ],
    }


def _steps(proven: ProvenVersion) -> dict[str, dict[str, object]]:
    return {name: ref.model_dump(mode="json") for name, ref in proven.steps().items()}
