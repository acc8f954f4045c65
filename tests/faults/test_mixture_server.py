"""A mixture is learned by deployments and events alone, and its rounds survive SIGKILL of flow, worker and server."""

import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest

from evenkeel.flows.server import serve
from evenkeel.infra import storage
from evenkeel.tasks.feedback.rounds import Rounds, mixture_folder, read_rounds
from evenkeel.tasks.feedback.table import read_feedback
from evenkeel.tasks.publish.config import DestinationConfig
from evenkeel.tasks.versions.listing import list_versions
from tests.feedback.serving import loop_document, served_loop
from tests.served import Served

pytestmark = [pytest.mark.server, pytest.mark.slow, pytest.mark.timeout(2400)]
OURS = ("mix", "feedback", "train-probe", "crash-silent")  # the last frees the slots of what was killed
ROUNDS, TRIALS = 3, 4


@pytest.fixture
def document(tmp_path: Path) -> dict[str, Any]:
    return loop_document(tmp_path, ROUNDS, TRIALS)


@pytest.fixture
def small(tmp_path: Path, document: dict[str, Any]) -> Iterator[Served]:
    """A server of this test's own with the loop's deployments."""
    with served_loop(tmp_path, document, OURS) as served:
        yield served


def test_three_rounds_end_whatever_is_killed(small: Served, document: dict[str, Any], tmp_path: Path) -> None:
    config, workspace = DestinationConfig(uri=document["destination"]["uri"]), document["workspace"]

    def known() -> Rounds:
        return read_rounds(mixture_folder(config.uri, "notes"))

    def rounds() -> int:
        return len(known().rounds)

    def process_of(run: str) -> psutil.Process:
        """Return the innermost process of a run, once it is there."""

        def look() -> list[psutil.Process]:
            found = serve.processes(small.home)["worker"].children(recursive=True)
            return [one for one in found if one.environ().get("PREFECT__FLOW_RUN_ID", "").replace("-", "") == plain]

        plain = run.replace("-", "")
        return list(small.until(look, 120))[-1]

    def went_on(before: int) -> bool:
        return bool(known().settled) or rounds() > before

    # The flow is killed when the round is written and not all of its trials are drawn.
    first = small.start("mix/mix")
    small.until(lambda: rounds() == 1, 300)
    process_of(first).kill()
    assert small.ended(first, 180)["type"] == "CRASHED"
    written = known().rounds[0]
    again = small.start("mix/mix")

    # The trainer, started by an event, is killed between two of its reports.
    trainer = small.next_run("train_probe/train-probe", seconds=300)
    small.until(lambda: read_feedback(config, "notes", workspace), 300)
    process_of(trainer).kill()
    assert small.ended(again, 120)["type"] == "COMPLETED"
    assert known().rounds[0] == written
    small.ended(trainer, 180)
    small.start("train_probe/train-probe")

    # The worker and then the server are killed while the next rounds go on by themselves.
    small.until(lambda: rounds() >= 2, 400)
    worker = serve.processes(small.home)["worker"]
    command, environment = worker.cmdline(), worker.environ()
    for one in (worker, *worker.children(recursive=True)):
        one.kill()
    with (small.home / "worker.log").open("ab") as log:
        workers = [subprocess.Popen(command, env=environment, stdout=log, stderr=log)]
    server = serve.processes(small.home)["server"]
    command, environment = server.cmdline(), server.environ()
    server.kill()
    with (small.home / "server.log").open("ab") as log:
        workers.append(subprocess.Popen(command, env=environment, stdout=log, stderr=log))
    try:
        small.until(lambda: serve._answers(f"{small.addresses['api']}/health"), 300)
        for _ in range(2 * ROUNDS):  # what a person, or the schedule, starts again
            if known().settled:
                break
            for name in ("mix/mix", "train_probe/train-probe"):
                small.start(name)
            before = rounds()
            small.until(partial(went_on, before), 600)
        ended = small.until(lambda: known().settled, 600)
    finally:
        for one in workers:
            for child in [*psutil.Process(one.pid).children(recursive=True), one]:
                child.kill()
            one.wait(30)
    assert rounds() == ROUNDS
    assert ended[0].metric == "balanced_accuracy"
    versions = list_versions(config, "notes", workspace)
    names = sorted(tag for version in versions for tag in version.tags)
    assert names == sorted(trial.name for one in known().rounds for trial in one.trials)
    assert not any(version.current for version in versions)
    reported = [(one.trial, one.score.domain) for one in read_feedback(config, "notes", workspace)]
    assert len(reported) == len(set(reported))
    assert {trial for trial, _ in reported} == set(names)
    assert storage.exists(storage.join(mixture_folder(config.uri, "notes"), "index.html"))
