"""What feeds what in the graph of a run: the tasks that made the inputs of a step are those that it waits for."""

from collections.abc import Iterable
from contextvars import ContextVar
from typing import Any
from uuid import UUID

from prefect.client.schemas.objects import State, StateDetails
from prefect.context import FlowRunContext
from prefect.states import Completed

from evenkeel.infra.workspace import StepRef

_MADE: ContextVar[tuple[UUID | None, dict[str, State[Any]]]] = ContextVar("made", default=(None, {}))
"""The run of a flow, and the states of its tasks by the folder of what they made."""


def made_before(inputs: Iterable[StepRef]) -> list[State[Any]]:
    """Return the states of the tasks of this run that made some inputs; those of other runs have none here."""
    run, made = _MADE.get()
    return [made[ref.uri] for ref in inputs if ref.uri in made] if run == _flow_run() else []


def remember_made(ref: StepRef, state: State[Any]) -> None:
    """Remember which task of this run made an output.

    The state that is kept is a bare one: Prefect looks for inputs inside of what a task waits for, and takes what a
    result has in common with that of another task for an input too.
    """
    run, made = _MADE.get()
    if run != _flow_run():
        run, made = _flow_run(), {}
        _MADE.set((run, made))
    made[ref.uri] = Completed(data=True, state_details=StateDetails(task_run_id=state.state_details.task_run_id))


def _flow_run() -> UUID | None:
    context = FlowRunContext.get()
    return None if context is None or context.flow_run is None else context.flow_run.id
