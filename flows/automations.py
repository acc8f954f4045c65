"""Automations of a Prefect server that every deployment of Evenkeel wants. `python -m flows.automations` makes them."""

from datetime import timedelta

from prefect.automations import Automation
from prefect.events import Posture
from prefect.events.actions import ChangeFlowRunState
from prefect.events.schemas.automations import EventTrigger
from prefect.exceptions import ObjectNotFound

from infra.environment import set_defaults

# At least three heartbeats: workers must run with PREFECT_FLOWS_HEARTBEAT_FREQUENCY=30, or healthy runs are crashed.
SILENCE = timedelta(seconds=120)
ENDED = ("Completed", "Failed", "Cancelled", "Crashed", "Suspended", "Paused")

CRASH_ZOMBIES = Automation(
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
    """Create the automations, or bring them up to date."""
    for automation in (CRASH_ZOMBIES,):
        try:
            known = Automation.read(name=automation.name)
        except (ObjectNotFound, ValueError):
            automation.create()
        else:
            automation.model_copy(update={"id": known.id}).update()


if __name__ == "__main__":
    set_defaults()
    create()
