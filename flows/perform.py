"""From a `Step` to a Prefect task: one visible, cached, retried task per step, JSON in and JSON out."""

from dataclasses import replace
from typing import Any

from prefect import Task, task
from prefect.client.schemas.objects import State
from pydantic import BaseModel

from evenkeel.flows.progress import LISTENER, StepProgress
from evenkeel.infra.errors import AccountingError, InputError, RecipeError, ResourceError
from evenkeel.infra.workspace import StepRef
from evenkeel.tasks.inputs import Inputs
from evenkeel.tasks.step import Run, Step

FINAL = (RecipeError, InputError, AccountingError, ResourceError)


def worth_retrying(_task: Any, _run: Any, state: State[Any]) -> bool:
    """Tell whether another try may help: not after an error that the same input will give again."""
    try:
        state.result(raise_on_failure=True)
    except FINAL:
        return False
    except Exception:
        return True
    return False


def perform(step: Step[Any, Any], config: BaseModel, inputs: Inputs, run: Run) -> StepRef:
    """Run `step` as a Prefect task and return its finished output.

    The Prefect cache key is the step's own content key, so the UI shows "Cached" for a step whose output is in the
    workspace. A cache record whose folder is gone from the workspace is not believed.
    """
    key = step.key(config, inputs, run)
    step.claim(config, inputs, run)
    finished = step.finished(config, inputs, run)
    visible: Task[..., dict[str, Any]] = _step_task.with_options(
        name=step.name,
        task_run_name=step.name,
        cache_key_fn=lambda *_: f"{run.dataset}-{step.name}-{key}",
        refresh_cache=finished is None,
        retries=step.retries,
        retry_delay_seconds=5,
        retry_condition_fn=worth_retrying,
        timeout_seconds=step.timeout_seconds,
    )
    if finished is not None and (listener := LISTENER.get()) is not None:
        listener(step.name, 1.0, "cached")
    progress = StepProgress(step.name)
    ref = StepRef.model_validate(visible(_Hidden(step, config, inputs, replace(run, progress=progress))))
    if finished is None and (listener := LISTENER.get()) is not None:
        listener(step.name, 1.0, f"{ref.seconds:5.1f} s  {progress.said}")
    return ref


class _Hidden:
    """What the task works on, opaque to Prefect, which would otherwise walk through every parameter."""

    def __init__(self, step: Step[Any, Any], config: BaseModel, inputs: Inputs, run: Run) -> None:
        self.step, self.config, self.inputs, self.run = step, config, inputs, run

    def __repr__(self) -> str:
        return f"{self.step.name}({', '.join(f'{name}={ref.key}' for name, ref in self.inputs.present().items())})"


@task(persist_result=True, result_serializer="json")
def _step_task(work: _Hidden) -> dict[str, Any]:
    return work.step(work.config, work.inputs, work.run).model_dump(mode="json")
