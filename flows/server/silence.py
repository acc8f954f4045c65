"""Mark a run as Crashed that fell silent, if it is dead: an automation starts this some time after the silence."""

from datetime import datetime
from uuid import UUID

from prefect import flow
from prefect.client.orchestration import get_client
from prefect.events.filters import EventAnyResourceFilter, EventFilter, EventNameFilter, EventOccurredFilter
from prefect.logging import get_run_logger
from prefect.states import Crashed

HEARTBEAT = "prefect.flow-run.heartbeat"
GONE = "no heartbeat: the process is gone"


@flow(name="crash_silent", flow_run_name="look after a silent run")
def crash_silent(run: str, seen: datetime) -> str:
    """Look whether a run that sent no heartbeat is alive; mark it as Crashed if not.

    A server that was away gets the heartbeats of that time late or never. So what counts is whether one came since.

    Args:
        run: The flow run, by its id or its resource's (prefect.flow-run.ID).
        seen: When the last heartbeat was sent that is known.
    """
    run_id = UUID(run.removeprefix("prefect.flow-run."))
    with get_client(sync_client=True) as client:
        state = client.read_flow_run(run_id).state
        if state is None or not state.is_running():
            found = f"it is {state.name if state else 'without a state'}"
        elif any(event.occurred > seen for event in client.read_events(_heartbeats(run_id, seen), limit=10).events):
            found = "it is alive: a heartbeat came since"
        else:
            client.set_flow_run_state(run_id, Crashed(message=GONE))
            found = "it is marked as Crashed"
    get_run_logger().info("run %s: %s", run_id, found)
    return found


def _heartbeats(run_id: UUID, since: datetime) -> EventFilter:
    return EventFilter(
        occurred=EventOccurredFilter(since=since),
        event=EventNameFilter(name=[HEARTBEAT]),
        any_resource=EventAnyResourceFilter(id=[f"prefect.flow-run.{run_id}"]),
    )
