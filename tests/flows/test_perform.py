"""A step as a Prefect task: claimed and looked up once, run once, found again."""

import logging
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
from prefect import flow, get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
from pydantic import BaseModel

from evenkeel.flows.perform import AsTasks
from evenkeel.infra.errors import InputError
from evenkeel.infra.workspace import StepFolder, StepRef, claim
from evenkeel.tasks.inputs import Inputs, NoInputs
from evenkeel.tasks.step import Outcome, Run, Step


class Config(BaseModel):
    """What the step of these tests is configured by."""

    number: int = 1


def work(config: Config, inputs: NoInputs, out: StepFolder, run: Run) -> Outcome:
    run.progress(1.0, f"made {config.number}")
    return Outcome({"rows": config.number})


WORK = Step("work", 1, work)


@flow
def works(folder: str) -> list[StepRef]:
    run = Run(folder, "pool", Path(folder))
    return [AsTasks(run)(WORK, Config(), NoInputs())]


def test_a_step_is_claimed_and_looked_up_once_in_a_run(
    prefect_server: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    done = StepFolder.done

    def claimed(uri: str) -> None:
        calls.append("claim")
        claim(uri)

    def looked_up(folder: StepFolder) -> StepRef | None:
        calls.append("look up")
        return done(folder)

    monkeypatch.setattr("evenkeel.tasks.step.claim", claimed)
    monkeypatch.setattr(StepFolder, "done", looked_up)
    [first] = works(str(tmp_path))
    assert calls == ["claim", "look up"]
    [again] = works(str(tmp_path))
    assert calls == ["claim", "look up"] * 2
    assert first == again


@dataclass(frozen=True, kw_only=True)
class After(Inputs):
    """What the second step of these tests builds on."""

    work: StepRef


def follow(config: Config, inputs: After, out: StepFolder, run: Run) -> Outcome:
    if config.number < 0:
        raise InputError("the number is negative", found=str(config.number), remedy="take another one")
    return Outcome({"rows": 1200, "left_out": config.number})


FOLLOW = Step("follow", 1, follow, retries=0)


@flow
def feeds(folder: str, number: int = 7) -> None:
    perform = AsTasks(Run(folder, "pool", Path(folder)))
    made = perform(WORK, Config(), NoInputs())
    perform(WORK, Config(number=2), NoInputs())
    perform(FOLLOW, Config(number=number), After(work=made))


@pytest.mark.long
def test_the_graph_shows_what_feeds_what_and_the_log_says_counts(
    prefect_server: None, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "prefect.task_runs"):
        state = feeds(str(tmp_path), return_state=True)
    assert "follow: rows 1,200, left out 7; " in caplog.text
    with get_client(sync_client=True) as client:
        runs = client.read_task_runs(
            flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=[state.state_details.flow_run_id]))
        )
    runs.sort(key=lambda run: run.start_time or datetime.max.replace(tzinfo=UTC))
    fed = [{one.id for of in run.task_inputs.values() for one in of if hasattr(one, "id")} for run in runs]
    assert fed == [set(), set(), {runs[0].id}]


@pytest.mark.long
def test_a_known_error_stands_in_the_log_of_its_task_without_a_traceback(
    prefect_server: None, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    state = feeds(str(tmp_path), -1, return_state=True)
    assert state.is_failed()
    errors = [one for one in caplog.records if one.name == "prefect.task_runs" and one.levelno >= logging.ERROR]
    assert errors[0].getMessage().startswith("InputError: the number is negative\n")
    assert [one for one in errors if one.exc_info is not None] == []
