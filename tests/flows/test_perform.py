"""A step as a Prefect task: claimed and looked up once, run once, found again."""

from pathlib import Path

import pytest
from prefect import flow
from pydantic import BaseModel

from evenkeel.flows.perform import AsTasks
from evenkeel.infra.workspace import StepFolder, StepRef, claim
from evenkeel.tasks.inputs import NoInputs
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
