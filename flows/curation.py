"""From a source to a published version, the work of the flow `curate`.

ingest -> embed -> dedup -> cluster or assign -> sample -> stage -> measure -> validate -> report -> publish
"""

from typing import Any, Literal, cast

from prefect.logging import get_run_logger
from prefect.runtime import flow_run
from prefect.states import Cancelled, Completed

from evenkeel.flows.approval import decide
from evenkeel.flows.approved import with_approved
from evenkeel.flows.columns import require_columns
from evenkeel.flows.events import emit_blocked, emit_drift, emit_published
from evenkeel.flows.known import remember
from evenkeel.flows.lineage import resolve_lineage, save_shard_numbers
from evenkeel.flows.outlook import foreseen, lines
from evenkeel.flows.perform import AsTasks
from evenkeel.flows.pipeline import ProvenVersion, cluster_pool, prove_version, stage_version
from evenkeel.flows.places import require_known_places
from evenkeel.flows.publishing import evidence, in_short, is_new, outcome, publish_version, summary
from evenkeel.flows.recipe import Recipe, RecipeFile, called, loaded
from evenkeel.flows.retrying import retrying
from evenkeel.flows.run_page import read_card, show_card, show_links, show_plan, show_refused, show_version
from evenkeel.flows.running import one_at_a_time, running
from evenkeel.flows.target import require_target
from evenkeel.flows.telemetry import told
from evenkeel.flows.unmet import require_met, seen_in_pool
from evenkeel.flows.web import deployment_of_run
from evenkeel.infra import storage
from evenkeel.infra.errors import DatasetBusy, GateFailed, NothingLeftError, QuarantineLimitError
from evenkeel.infra.workspace import StepRef
from evenkeel.tasks.ingest.quarantine import newest_pool
from evenkeel.tasks.publish.extras import keep_blocked
from evenkeel.tasks.publish.layout import check_destination
from evenkeel.tasks.publish.opening import require_keeping


def run_name() -> str:
    """Name a run after what it curates."""
    return f"curate {called(flow_run.parameters['recipe'])}"


def curate_source(
    recipe: Recipe | RecipeFile, *, force: bool, dry_run: bool, if_busy: Literal["wait", "drop"]
) -> dict[str, Any]:
    """Curate a pool into a balanced, validated, published version, inside a run of a flow; arguments as of `curate`."""
    recipe = with_approved(loaded(recipe))
    require_known_places(recipe)
    check_destination(recipe.destination.uri, recipe.dataset)
    if dry_run:
        return show_plan(recipe)
    try:
        with one_at_a_time(recipe, wait=if_busy == "wait"), told(recipe, get_run_logger().warning) as results:
            found = _curate(recipe, force)
            results.append(found)
            return cast(dict[str, Any], Completed(message=in_short(found), data=found))
    except DatasetBusy as busy:
        return cast(dict[str, Any], Cancelled(message=f"dropped: {busy.message} ({busy.found})"))  # what Prefect takes


def _curate(recipe: Recipe, force: bool) -> dict[str, Any]:
    with running(recipe) as run:
        require_keeping(recipe.destination, recipe.dataset, run.workspace)
        lineage = resolve_lineage(recipe, run.workspace)
        require_columns(recipe, lineage.request.shards)
        if recipe.mixture is not None and recipe.sampling.mixture is None:
            get_run_logger().info("no mixture is approved yet: rows are drawn by the strategy alone")
        require_target(recipe, run.scratch)
        save_shard_numbers(recipe, run.workspace, lineage.request)

        def warn(ingest: StepRef) -> None:
            show_refused(recipe, ingest.uri)
            seen = seen_in_pool(recipe, ingest, run.compute)
            found = foreseen(recipe, lineage, ingest.counts["pool"], True, ingest, seen=seen)
            for line in lines(found):
                get_run_logger().warning(line)
            require_met(found)

        try:
            pool = cluster_pool(recipe, lineage, AsTasks(run), lambda found: emit_drift(recipe, found), warn)
        except (QuarantineLimitError, NothingLeftError):
            show_refused(recipe, newest_pool(run.workspace, recipe.dataset))
            raise
        staged = stage_version(recipe, lineage, pool, AsTasks(run))
        proven = prove_version(recipe, run.workspace, staged, AsTasks(run), force)
        get_run_logger().info("%s; clusters: %s", lineage.changes.summary(), lineage.why)
        if deployment_of_run():
            retrying(remember, recipe)
        show_card(recipe, proven)
        require_gates(recipe, proven)
        approval = None
        if recipe.gates.approval == "required" and (force or is_new(recipe, run.workspace, proven)):
            approval = require_approval(recipe, proven)
        published = publish_version(recipe, lineage, proven, run, force, approval)
    get_run_logger().info(outcome(published))
    show_links(recipe, published.location)
    show_version(recipe, published)
    emit_published(published)
    return summary(lineage, run.workspace, proven, published)


def require_gates(recipe: Recipe, proven: ProvenVersion) -> None:
    """Raise GateFailed where a blocking expectation failed; card and Data Docs are left at the destination."""
    if not (failed := proven.validate.facts["failed"]):
        return
    place = keep_blocked(recipe.destination, recipe.dataset, proven.report.key, evidence(proven))
    emit_blocked(recipe, failed, place)
    show_links(recipe, place)
    raise GateFailed(
        f"{len(failed)} blocking expectation(s) failed; nothing was published",
        found="; ".join(str(failure["reason"]) for failure in failed),
        where=storage.join(place, "card.html"),
        remedy="read the card and the Data Docs beside it; change the recipe or its gates",
    )


def require_approval(recipe: Recipe, proven: ProvenVersion) -> str:
    """Return a person's reason for approving the version; raise GateFailed, and emit an event, when one declined."""
    try:
        answer = decide(read_card(proven), proven.content_key, recipe.gates.approval_hours)
    except GateFailed as refusal:
        reason = f"{refusal.message}: {refusal.found}" if refusal.found else refusal.message
        emit_blocked(recipe, [{"reason": reason}], proven.report.uri)
        raise
    get_run_logger().info("approved: %s", answer.reason or "no reason given")
    return answer.reason
