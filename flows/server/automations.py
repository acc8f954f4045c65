"""The automations of a Prefect server: mark runs without heartbeat as crashed, notify people of blocked versions."""

import os
from collections.abc import Iterator
from datetime import timedelta
from typing import cast

from prefect.automations import Automation
from prefect.blocks.core import Block
from prefect.events import Posture
from prefect.events.actions import ChangeFlowRunState, SendNotification
from prefect.events.schemas.automations import EventTrigger

from evenkeel.infra.errors import RecipeError

# At least three heartbeats: workers must run with PREFECT_FLOWS_HEARTBEAT_FREQUENCY=30, or healthy runs are crashed.
SILENCE = timedelta(seconds=120)
ENDED = ("Completed", "Failed", "Cancelled", "Crashed", "Suspended", "Paused")
NOTIFY = "EVENKEEL_NOTIFY"
BLOCKED = """{{ event.payload.dataset }}: nothing was published.
{% for failure in event.payload.failed %}- {{ failure.reason or failure }}
{% endfor %}Card: {{ event.payload.card }}"""

CRASH_SILENT = Automation(
    name="evenkeel: crash runs that fell silent",
    description="A run whose process and worker were both killed stays Running for ever; this marks it as Crashed.",
    trigger=EventTrigger(
        match={"prefect.resource.id": "prefect.flow-run.*"},
        for_each={"prefect.resource.id"},
        after={"prefect.flow-run.heartbeat"},
        expect={"prefect.flow-run.heartbeat", *(f"prefect.flow-run.{state}" for state in ENDED)},
        posture=Posture.Proactive,
        threshold=1,
        within=SILENCE,
    ),
    actions=[ChangeFlowRunState(state="CRASHED", name="Crashed", message="no heartbeat: the process is gone")],
)


def create() -> None:
    """Create the automations, or bring them up to date.

    Notifications are sent through the block that the environment names: EVENKEEL_NOTIFY=slack-webhook/alerts.
    """
    for automation in (CRASH_SILENT, *notifications(os.environ.get(NOTIFY))):
        try:
            known = cast(Automation, Automation.read(name=automation.name))
        except ValueError:
            automation.create()
        else:
            automation.model_copy(update={"id": known.id}).update()


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
            match_related={"prefect.resource.role": "flow", "prefect.resource.name": "curate"},
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
