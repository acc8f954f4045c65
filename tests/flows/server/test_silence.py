"""A silent run that is dead is marked as Crashed; one that sent a heartbeat since, or has ended, is left alone."""

import time
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from prefect import flow
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.events import emit_event
from prefect.states import Completed, Running

from evenkeel.flows.server.silence import GONE, HEARTBEAT, _heartbeats, crash_silent


@flow
def work() -> None:
    """Be a run of anybody."""


def beat(client: SyncPrefectClient, run: UUID) -> None:
    """Send a heartbeat of the run, and return when the server knows it."""
    before, deadline = datetime.now(UTC) - timedelta(seconds=1), time.monotonic() + 60
    emit_event(HEARTBEAT, resource={"prefect.resource.id": f"prefect.flow-run.{run}"})
    while not client.read_events(_heartbeats(run, before), limit=10).events:
        assert time.monotonic() < deadline
        time.sleep(0.2)


@pytest.mark.slow
@pytest.mark.usefixtures("prefect_server")
def test_only_a_running_run_without_a_later_heartbeat_is_crashed() -> None:
    with get_client(sync_client=True) as client:
        dead, alive, ended = (client.create_flow_run(work, state=Running()).id for _ in range(3))
        client.set_flow_run_state(ended, Completed())
        beat(client, dead)
        seen = datetime.now(UTC)
        beat(client, alive)
        for run in (dead, alive, ended):
            crash_silent(f"prefect.flow-run.{run}", seen)
        states = [client.read_flow_run(run).state for run in (dead, alive, ended)]
    assert [state.type for state in states if state] == ["CRASHED", "RUNNING", "COMPLETED"]
    assert states[0] is not None
    assert states[0].message == GONE
