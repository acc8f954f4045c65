"""The automations of a Prefect server: have runs without heartbeat looked after, notify people of blocked versions."""

import logging
import os
from collections.abc import Iterator
from datetime import timedelta
from typing import cast
from uuid import UUID

from prefect.automations import Automation
from prefect.blocks.core import Block
from prefect.client.orchestration import get_client
from prefect.events import Posture
from prefect.events.actions import RunDeployment, SendNotification
from prefect.events.schemas.automations import EventTrigger
from prefect.exceptions import ObjectNotFound

from evenkeel.flows.server.silence import HEARTBEAT
from evenkeel.infra.errors import RecipeError

TAG = "evenkeel"
"""What every deployment of ours is tagged with, and so every run: a shared server has others too."""
HEARTBEAT_SETTING = "PREFECT_FLOWS_HEARTBEAT_FREQUENCY"
"""Set to 30 s for each run by its deployment (prefect.yaml), whatever its worker was started with."""
CRASH = "evenkeel: crash runs that fell silent"
CRASH_DEPLOYMENT = "crash_silent/crash-silent"
SILENCE = timedelta(seconds=120)
SILENCE_SETTING = "EVENKEEL_SILENCE_SECONDS"
SECOND_LOOK = timedelta(seconds=75)
LOG = logging.getLogger(__name__)
ENDED = ("Completed", "Failed", "Cancelled", "Crashed", "Suspended", "Paused")
NOTIFY = "EVENKEEL_NOTIFY"
BLOCKED = """{{ event.payload.dataset }}: nothing was published.
{% for failure in event.payload.failed %}- {{ failure.reason or failure }}
{% endfor %}Card: {{ event.payload.card }}"""


def silence() -> timedelta:
    """Return after how long without heartbeat a run is looked after: EVENKEEL_SILENCE_SECONDS, or two minutes."""
    return timedelta(seconds=float(os.environ.get(SILENCE_SETTING, SILENCE.total_seconds())))


def silence_in_force() -> timedelta | None:
    """Return after how long the server has silent runs looked after; None where it does not.

    This machine's environment does not say: the automation was made with that of whoever registered it.
    """
    try:
        trigger = cast(Automation, Automation.read(name=CRASH)).trigger
    except ValueError:
        return None
    assert isinstance(trigger, EventTrigger)
    return trigger.within


def crash_silent(deployment: UUID, within: timedelta) -> Automation:
    """Return the automation that has silent runs looked after.

    It fires as soon as a server that was away is back, for every run that is alive. So it marks none itself: the
    deployment `crash-silent` looks, when two more heartbeats should have come, whether any has.
    """
    return Automation(
        name=CRASH,
        description="A run whose process and worker were both killed stays Running for ever; this marks it as Crashed.",
        trigger=EventTrigger(
            match={"prefect.resource.id": "prefect.flow-run.*"},
            match_related={"prefect.resource.role": "tag", "prefect.resource.id": f"prefect.tag.{TAG}"},
            for_each={"prefect.resource.id"},
            after={HEARTBEAT},
            expect={HEARTBEAT, *(f"prefect.flow-run.{state}" for state in ENDED)},
            posture=Posture.Proactive,
            threshold=1,
            within=within,
        ),
        actions=[
            RunDeployment(
                deployment_id=deployment,
                parameters={"run": "{{ event.resource.id }}", "seen": "{{ event.occurred.isoformat() }}"},
                schedule_after=SECOND_LOOK,
            )
        ],
    )


def create() -> None:
    """Create the automations, or bring them up to date.

    Notifications are sent through the block that the environment names: EVENKEEL_NOTIFY=slack-webhook/alerts.
    """
    for automation in (*_crash_silent(), *notifications(os.environ.get(NOTIFY))):
        put(automation)


def put(automation: Automation) -> None:
    """Create an automation, or bring the one of its name up to date; what a person switched off stays off."""
    try:
        known = cast(Automation, Automation.read(name=automation.name))
    except ValueError:
        automation.create()
    else:
        automation.model_copy(update={"id": known.id, "enabled": known.enabled}).update()


def _crash_silent() -> Iterator[Automation]:
    """Yield the automation on silent runs; none, with a warning, where its deployment is not among the project's."""
    try:
        with get_client(sync_client=True) as client:
            deployment = client.read_deployment_by_name(CRASH_DEPLOYMENT).id
    except ObjectNotFound:
        LOG.warning("there is no deployment %s: runs that fall silent stay Running", CRASH_DEPLOYMENT)
        return
    yield crash_silent(deployment, silence())


def notifications(block: str | None) -> Iterator[Automation]:
    """Yield the automations that notify people through the notification block `type/name`; none without one."""
    if block is None:
        return
    try:
        found = cast(Block, Block.load(block))
    except ValueError as error:
        raise RecipeError(
            f"there is no notification block {block!r} on this server",
            expected="type/name of a block, such as slack-webhook/alerts",
            where=NOTIFY,
            remedy="make it in the Prefect UI (Blocks), or correct the name",
        ) from error
    assert found._block_document_id is not None
    yield Automation(
        name="evenkeel: tell of blocked versions",
        trigger=EventTrigger(expect={"evenkeel.version.blocked"}, posture=Posture.Reactive, threshold=1),
        actions=[
            SendNotification(
                block_document_id=found._block_document_id,
                subject="{{ event.payload.dataset }}: version blocked",
                body=BLOCKED,
            )
        ],
    )
    yield Automation(
        name="evenkeel: tell of runs that failed",
        trigger=EventTrigger(
            match={"prefect.resource.id": "prefect.flow-run.*"},
            match_related=[
                {"prefect.resource.role": "flow", "prefect.resource.name": "curate"},
                {"prefect.resource.role": "tag", "prefect.resource.id": f"prefect.tag.{TAG}"},
            ],
            expect={"prefect.flow-run.Failed", "prefect.flow-run.Crashed"},
            posture=Posture.Reactive,
            threshold=1,
        ),
        actions=[
            SendNotification(
                block_document_id=found._block_document_id,
                subject="curate: {{ flow_run.name }} {{ flow_run.state.name }}",
                body="{{ flow_run.state.message }}\n{{ flow_run|ui_url }}",
            )
        ],
    )
