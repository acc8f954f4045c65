"""From a `Step` to a Prefect task: one visible, cached, retried task per step, JSON in and JSON out."""

import time
from dataclasses import dataclass, replace
from typing import Generic

from prefect import Task, task
from prefect.client.schemas.objects import State, TaskRun
from prefect.logging import get_run_logger

from evenkeel.flows.feeding import made_before, remember_made
from evenkeel.flows.known_errors import without_tracebacks
from evenkeel.flows.progress import ENDED, LISTENER, StepProgress
from evenkeel.infra.errors import AccountingError, InputError, RecipeError, ResourceError, StepError
from evenkeel.infra.workspace import StepRef
from evenkeel.tasks.step import ConfigT, InputsT, Run, Step

FINAL = (RecipeError, InputError, AccountingError, ResourceError, StepError)
Json = dict[str, object]


@dataclass(frozen=True)
class AsTasks:
    """Runs each step as a Prefect task."""

    run: Run

    def __call__(self, step: Step[ConfigT, InputsT], config: ConfigT, inputs: InputsT) -> StepRef:
        """Return the reference to the step's finished output."""
        return perform(step, config, inputs, self.run)


def perform(step: Step[ConfigT, InputsT], config: ConfigT, inputs: InputsT, run: Run) -> StepRef:
    """Run `step` as a Prefect task and return its finished output.

    The Prefect cache key is the step's own content key, so the UI shows "Cached" for a step whose output is in the
    workspace. A cache record whose folder is gone from the workspace is not believed. The output is claimed and looked
    up here, once; the task runs the step's function or hands on what was found.
    """
    key = step.key(config, inputs, run)
    step.claim(config, inputs, run)
    finished = step.finished(config, inputs, run)
    visible: Task[..., Json] = _step_task.with_options(
        name=step.name,
        task_run_name=step.called(config),
        cache_key_fn=lambda *_: f"{run.dataset}-{step.name}-{key}",
        refresh_cache=finished is None,
        retries=step.retries,
        retry_delay_seconds=5,
        retry_condition_fn=worth_retrying,
        timeout_seconds=step.timeout_seconds,
    )
    if finished is not None and (listener := LISTENER.get()) is not None:
        listener(step.called(config), 1.0, "cached")
    progress = StepProgress(step.called(config))
    begun = time.time_ns()
    call = _Call(step, config, inputs, replace(run, progress=progress), finished)
    state = visible(call, wait_for=made_before(inputs.present().values()), return_state=True)
    ref = StepRef.model_validate(state.result())
    remember_made(ref, state)
    if finished is None and (listener := LISTENER.get()) is not None:
        listener(step.called(config), 1.0, f"{ref.seconds:5.1f} s  {progress.message}")
    if (ended := ENDED.get()) is not None:
        ended(step.called(config), begun, time.time_ns(), finished is not None, ref.counts)
    return ref


def worth_retrying(_task: object, _run: TaskRun, state: State[Json]) -> bool:
    """Tell whether another try may help: not after an error that the same input will give again."""
    try:
        state.result(raise_on_failure=True)
    except FINAL:
        return False
    except Exception:
        return True
    return False


class _Call(Generic[ConfigT, InputsT]):
    """One call of a step; opaque to Prefect, which would otherwise walk through every parameter."""

    def __init__(
        self, step: Step[ConfigT, InputsT], config: ConfigT, inputs: InputsT, run: Run, finished: StepRef | None
    ) -> None:
        self.step, self.config, self.inputs, self.run, self.finished = step, config, inputs, run, finished

    def __repr__(self) -> str:
        inputs = ", ".join(f"{name}={ref.key}" for name, ref in self.inputs.present().items())
        return f"{self.step.called(self.config)}({inputs})"

    def ref(self) -> StepRef:
        """Return the output that was found, or run the step's function."""
        return self.finished or self.step.execute(self.config, self.inputs, self.run)


@task(persist_result=True, result_serializer="json")
def _step_task(call: _Call[ConfigT, InputsT]) -> Json:
    without_tracebacks()
    ref = call.ref()
    told = in_words(ref) + (", found in the workspace" if call.finished else "")
    if isinstance(call.run.progress, StepProgress):
        call.run.progress.end(told)
    get_run_logger().info("%s: %s", call.step.called(call.config), told)
    return ref.model_dump(mode="json")


def in_words(ref: StepRef) -> str:
    """Return what a step came to as those of its counts that are not 0: "pool 1,540, quarantined 11; 12.0 s"."""
    counts = ", ".join(f"{name.replace('_', ' ')} {count:,}" for name, count in ref.counts.items() if count)
    return "; ".join(filter(None, [counts, f"{ref.seconds:,.1f} s"]))
