"""Step outputs in the workspace: removed when nobody needs them, never while a version or a run does."""

import os
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from pydantic import BaseModel

from evenkeel.infra import storage, workspace
from evenkeel.infra.errors import StorageError
from evenkeel.infra.workspace import PRUNING, USED, StepFolder, StepRef, claim
from evenkeel.tasks.inputs import Inputs
from evenkeel.tasks.publish.config import DestinationConfig
from evenkeel.tasks.step import Outcome, Run, Step
from evenkeel.tasks.versions import outputs as cleaning
from evenkeel.tasks.versions.outputs import prune_outputs
from evenkeel.tasks.versions.prune import prune
from evenkeel.tasks.versions.tags import rollback
from tests.publish.fixtures import Publish

DAY = 86_400


class Config(BaseModel):
    """What the step of these tests is configured by."""

    number: int = 0


@dataclass(frozen=True)
class WorkInputs(Inputs):
    """What the step of these tests builds on."""

    cluster: StepRef | None = None


def work(config: Config, inputs: WorkInputs, out: StepFolder, run: Run) -> Outcome:
    storage.write_bytes(out.path("rows", "a.bin"), bytes([config.number]))
    return Outcome({"rows": 1})


STEP = Step("cluster", 1, work)


def age(folder: str, days: float) -> None:
    """Let everything in a folder be so old."""
    when = time.time() - days * DAY
    for path in Path(folder).rglob("*"):
        os.utime(path, (when, when))


def output(run: Run, step: str, number: int, days: float) -> StepRef:
    """Leave a step output that was last used so many days ago."""
    ref = Step(step, 1, work)(Config(number=number), WorkInputs(), run)
    age(ref.uri, days)
    return ref


def document(**refs: StepRef) -> dict[str, object]:
    return {"steps": {name: ref.model_dump(mode="json") for name, ref in refs.items()}}


@pytest.mark.long
def test_what_a_version_or_a_recent_run_needs_stays(
    publish_one: Publish, destination: DestinationConfig, run: Run
) -> None:
    steps = ("ingest", "embed", "cluster", "sample")
    first = {step: output(run, step, 1, 99) for step in steps}
    second = {step: output(run, step, 2, 99) for step in steps}
    unneeded, recent = output(run, "cluster", 3, 99), output(run, "cluster", 4, 13)
    half = StepFolder(run.workspace, run.dataset, "cluster", "0" * 20)
    storage.write_bytes(half.path("level-1", "half.npy"), b"half")
    age(half.uri, 15)
    storage.write_json(storage.join(run.workspace, run.dataset, "shards", "numbers.json"), {})
    age(storage.join(run.workspace, run.dataset, "shards"), 99)
    publish_one(document=document(**first))
    publish_one(seed=1, document=document(**second))
    idle = {first["sample"].uri, unneeded.uri, half.uri}

    found = prune(destination, run.dataset, run.workspace)
    assert set(found.outputs) == idle
    assert (found.output_files, found.versions) == (3 + 3 + 1, [])
    assert all(Path(uri).exists() for uri in idle)

    rollback(destination, run.dataset, 1, run.workspace)
    assert set(prune(destination, run.dataset, run.workspace, dry_run=False).outputs) == (
        idle - {first["sample"].uri} | {second["sample"].uri}
    )
    assert not any(Path(uri).exists() for uri in (unneeded.uri, half.uri))
    for ref in [*first.values(), second["cluster"], recent]:
        assert StepRef.model_validate(storage.read_json(storage.join(ref.uri, "done.json"))) == ref
    assert storage.exists(storage.join(run.workspace, run.dataset, "shards", "numbers.json"))
    assert prune(destination, run.dataset, run.workspace, dry_run=False).outputs == []


@pytest.mark.long
def test_outputs_follow_a_version_that_is_dropped(
    publish_one: Publish, destination: DestinationConfig, run: Run
) -> None:
    refs = [{step: output(run, step, number, 99) for step in ("ingest", "cluster")} for number in (1, 2)]
    for seed, made in enumerate(refs):
        publish_one(seed=seed, document=document(**made))
    found = prune(destination, run.dataset, run.workspace, drop=[1], dry_run=False)
    assert (found.versions, set(found.outputs)) == ([1], {ref.uri for ref in refs[0].values()})


def test_using_an_output_again_keeps_it(run: Run) -> None:
    ref = output(run, "cluster", 0, 99)
    later = Step("sample", 1, work)
    assert [folder.uri for folder in prune_outputs(run.workspace, run.dataset, [], 14)] == [ref.uri]
    later(Config(), WorkInputs(ref), run)
    assert prune_outputs(run.workspace, run.dataset, [], 14, dry_run=False) == []
    age(ref.uri, 99)
    assert STEP(Config(), WorkInputs(), run) == ref
    assert prune_outputs(run.workspace, run.dataset, [], 14, dry_run=False) == []


def test_a_run_that_comes_while_its_output_is_removed_makes_it_anew(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    ref = output(run, "cluster", 7, 99)
    real, waiting = storage.remove_files, []

    def slow(uris: list[str]) -> None:
        thread = threading.Thread(target=lambda: waiting.append(STEP(Config(number=7), WorkInputs(), run)))
        thread.start()
        while storage.read_bytes(storage.join(ref.uri, PRUNING)) and not Path(ref.uri, USED).exists():
            time.sleep(0.01)
        assert not waiting
        real(uris)
        slow.thread = thread  # type: ignore[attr-defined]

    (Path(ref.uri) / USED).unlink()
    monkeypatch.setattr(storage, "remove_files", slow)
    assert [folder.uri for folder in prune_outputs(run.workspace, run.dataset, [], 14, dry_run=False)] == [ref.uri]
    slow.thread.join()  # type: ignore[attr-defined]
    assert waiting[0].uri == ref.uri
    assert storage.read_bytes(storage.join(ref.uri, "rows", "a.bin")) == bytes([7])


def test_an_output_claimed_at_the_last_moment_stays(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    ref = output(run, "cluster", 0, 99)
    real = storage.write_bytes

    def claimed_first(uri: str, data: bytes) -> None:
        if uri.endswith(PRUNING):
            real(storage.join(ref.uri, USED), b"by a run\n")
        real(uri, data)

    monkeypatch.setattr(storage, "write_bytes", claimed_first)
    assert prune_outputs(run.workspace, run.dataset, [], 14, dry_run=False) == []
    assert STEP.finished(Config(), WorkInputs(), run) == ref
    assert not storage.exists(storage.join(ref.uri, PRUNING))


def test_an_interrupted_prune_is_finished_by_the_next(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    ref = output(run, "cluster", 0, 99)

    def dies(uris: list[str]) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(storage, "remove_files", dies)
        with pytest.raises(KeyboardInterrupt):
            prune_outputs(run.workspace, run.dataset, [], 14, dry_run=False)
    assert STEP.finished(Config(), WorkInputs(), run) is None
    monkeypatch.setattr(workspace, "PRUNE_SECONDS", 0.3)
    with pytest.raises(StorageError, match="prune RECIPE --yes"):
        claim(ref.uri)
    age(ref.uri, 99)
    assert len(prune_outputs(run.workspace, run.dataset, [], 14, dry_run=False)) == 1
    assert not Path(ref.uri).exists()
    assert STEP(Config(), WorkInputs(), run).uri == ref.uri


def test_an_input_that_was_pruned_is_said_so(run: Run) -> None:
    ref = output(run, "cluster", 0, 99)
    storage.remove(ref.uri)
    with pytest.raises(StorageError, match="pruned before this run used it"):
        Step("sample", 1, work)(Config(), WorkInputs(ref), run)


def test_only_folders_of_outputs_are_looked_at(run: Run) -> None:
    for place in ("notes/mine.txt", "cluster/notes/mine.txt", "cluster/XYZ/mine.txt"):
        storage.write_bytes(storage.join(run.workspace, run.dataset, place), b"mine")
    age(storage.join(run.workspace, run.dataset), 99)
    assert cleaning.prune_outputs(run.workspace, run.dataset, [], 2, dry_run=False) == []
