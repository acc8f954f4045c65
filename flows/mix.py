"""The flow `mix`: one step of the loop between versions and training, as often as it is run."""

from datetime import UTC, datetime, timedelta
from typing import Any, Literal, cast
from uuid import UUID

from prefect import flow
from prefect.artifacts import create_link_artifact, create_markdown_artifact
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State
from prefect.logging import get_run_logger
from prefect.runtime import flow_run
from prefect.states import Cancelled, Completed, Scheduled

from evenkeel.flows.artifacts import artifact_key, show
from evenkeel.flows.events import emit_proposed, emit_settled
from evenkeel.flows.failures import explained
from evenkeel.flows.mixing import MixState, advance, mixture_of
from evenkeel.flows.mixture_page import write_page
from evenkeel.flows.perform import AsTasks
from evenkeel.flows.places import require_known_places
from evenkeel.flows.recipe import Recipe, called, loaded
from evenkeel.flows.recipe_form import AnyRecipe
from evenkeel.flows.retrying import retrying
from evenkeel.flows.running import one_at_a_time, running
from evenkeel.flows.web import run_here
from evenkeel.infra import storage
from evenkeel.infra.errors import DatasetBusy
from evenkeel.tasks.feedback import rounds as records
from evenkeel.tasks.publish.layout import check_destination


def run_name() -> str:
    """Name a run after the dataset whose mixture it goes on with."""
    return f"mix {called(flow_run.parameters['recipe'])}"


@flow(name="mix", flow_run_name=run_name, persist_result=True, result_serializer="json")
@explained
def mix(
    recipe: AnyRecipe,
    late: bool = False,
    again: bool = False,
    begin: bool = True,
    only_round: int | None = None,
    wait_hours: float = 0.0,
    if_busy: Literal["wait", "drop"] = "wait",
) -> dict[str, Any]:
    """Do the next step of a mixture's loop: publish the trials of a round, or end the loop once all are scored.

    Args:
        recipe: The recipe, with a section mixture; or the file that says so.
        late: Go on without the trials of the round that have no score.
        again: Begin a new loop, whatever the last one came to.
        begin: Begin the first loop where there is none; a schedule that only goes on with one says no.
        only_round: Do nothing where another round is open, or none.
        wait_hours: Hours after which this deployment goes on without the scores that a round lacks; 0 = it waits.
        if_busy: Where another run of this dataset goes on, wait until it has ended, or drop this run as Cancelled.
    """
    recipe = loaded(recipe)
    mixture_of(recipe)
    require_known_places(recipe)
    check_destination(recipe.destination.uri, recipe.dataset)
    try:
        with one_at_a_time(recipe, wait=if_busy == "wait"), running(recipe) as run:
            state = advance(recipe, run, AsTasks(run), late=late, again=again, begin=begin, only_round=only_round)
            page = write_page(recipe, run.workspace)
    except DatasetBusy as busy:
        return cast(dict[str, Any], Cancelled(message=f"dropped: {busy.message} ({busy.found})"))  # what Prefect takes
    get_run_logger().info(state.sentence)
    show_state(state, page)
    if page and (state.trials or state.settled):
        announce(recipe, state, wait_hours)
    found = {**state.model_dump(mode="json"), "page": page}
    return cast(dict[str, Any], Completed(message=state.sentence, data=found))


def announce(recipe: Recipe, state: MixState, wait_hours: float = 0.0) -> None:
    """Emit once that the trials of the round are there, or that the loop has ended; twice where a run was killed.

    wait_hours: where a deployment runs this and trials wait for scores, it runs again after so many hours.
    """
    folder = records.mixture_folder(recipe.destination.uri, recipe.dataset)
    ended = state.status == "settled"
    what = f"settled-{state.loop:03d}" if ended else f"round-{state.round:03d}"
    if not records.is_announced(folder, what):
        (emit_settled if ended else emit_proposed)(recipe, state)
        if wait_hours and not ended:
            schedule_late(state.round, wait_hours)
        records.save_announced(folder, what)


def schedule_late(number: int, hours: float) -> None:
    """Schedule a run of this deployment, if it is one, that goes on without the scores that the round lacks by then.

    No automation waits for the silence: of one that expects the event which another acts on, Prefect may lose the event
    for both where its SQLite is busy.
    """
    if (run := run_here()) is None or run.deployment_id is None:
        return
    parameters = {**run.parameters, "late": True, "again": False, "only_round": number}
    due: State[Any] = Scheduled(scheduled_time=datetime.now(UTC) + timedelta(hours=hours))
    retrying(_schedule, run.deployment_id, parameters, due)


def _schedule(deployment: UUID, parameters: dict[str, Any], due: State[Any]) -> None:
    with get_client(sync_client=True) as client:
        client.create_flow_run_from_deployment(deployment, parameters=parameters, state=due)


def show_state(state: MixState, page: str) -> None:
    """Show where the loop stands on the page of the run, and link the page of the mixture."""
    show(
        create_markdown_artifact,
        f"**{state.dataset}**: {state.sentence}",
        key=artifact_key(state.dataset, "mixture"),
        description=f"Round {state.round} of the mixture",
    )
    if not page:
        return
    show(
        create_link_artifact,
        storage.web_address(page),
        link_text=f"{state.dataset}: mixture",
        description=page,
        key=artifact_key(state.dataset, "mixture-link"),
    )
