"""The server comes back and the run has survived; silent runs are crashed, healthy ones left alone. In real time."""

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import yaml

from evenkeel.flows.server import serve
from evenkeel.flows.server.automations import HEARTBEAT_SETTING, SECOND_LOOK, SILENCE_SETTING
from evenkeel.flows.server.project import ROOT
from evenkeel.flows.server.silence import GONE
from evenkeel.infra.ports import free_port
from tests.served import Served

pytestmark = [pytest.mark.server, pytest.mark.slow, pytest.mark.timeout(900)]
HEARTBEAT_SECONDS, SILENT_SECONDS = 30, 75
LOOK = "crash-silent"


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Served]:
    """A server and a worker of this test's own, with the small deployments only: they are going to be killed."""
    home, project = tmp_path / "home", tmp_path / "project"
    project.mkdir()
    (project / "jobs.py").symlink_to(ROOT / "tests" / "flows" / "jobs.py")
    jobs = yaml.safe_load((ROOT / "tests" / "flows" / "jobs.yaml").read_text())
    jobs += [
        each for each in yaml.safe_load((ROOT / "prefect.yaml").read_text())["deployments"] if LOOK in each["name"]
    ]
    (project / "prefect.yaml").write_text(yaml.safe_dump({"deployments": jobs}))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(SILENCE_SETTING, str(SILENT_SECONDS))
        served = Served(home, project, serve.up(home, port=free_port(), project=project))
    yield served
    served.api.close()
    serve.down(home)


def processes_of(small: Served, run: str) -> list[psutil.Process]:
    """Return the processes of a run that is going on: its supervisor first, the flow itself last."""
    worker = serve.processes(small.home)["worker"]
    return [
        child
        for child in worker.children(recursive=True)
        if child.environ().get("PREFECT__FLOW_RUN_ID", "").replace("-", "") == run.replace("-", "")
    ]


def is_running(small: Served, run: str) -> bool:
    return bool(small.ask("GET", f"/flow_runs/{run}")["state_type"] == "RUNNING")


def start_worker(small: Served) -> None:
    """Start a worker by the command that `evenkeel curate` and `diagnose` print, without any setting of ours."""
    environment = {**serve.server_environment(small.home, int(small.addresses["api"].rpartition(":")[2].split("/")[0]))}
    del environment[HEARTBEAT_SETTING]
    serve._start(
        small.home, "worker", [*serve.PREFECT, "worker", "start", "--pool", "cpu", "--type", "process"], environment
    )


def heartbeats(small: Served, run: str) -> int:
    wanted = {"event": {"name": ["prefect.flow-run.heartbeat"]}, "any_resource": {"id": [f"prefect.flow-run.{run}"]}}
    return int(small.ask("POST", "/events/filter", {"filter": wanted})["total"])


def past(small: Served, run: str) -> list[str]:
    """Return the types of all states that a run has been in."""
    return [state["type"] for state in small.ask("GET", f"/flow_run_states/?flow_run_id={run}")]


def test_a_dead_run_is_crashed_and_neither_a_healthy_nor_a_foreign_one(small: Served) -> None:
    serve.processes(small.home)["worker"].kill()
    start_worker(small)
    long = {"seconds": SILENT_SECONDS + SECOND_LOOK.total_seconds() + 3 * HEARTBEAT_SECONDS}
    healthy, foreign = small.start("beat/on-demand", long), small.start("beat/foreign", long)
    silent = small.start("beat/on-demand", {"seconds": 3600})
    for run in (healthy, foreign, silent):
        small.until(lambda run=run: is_running(small, run) and heartbeats(small, run), 180)  # type: ignore[misc]
    for process in (serve.processes(small.home)["worker"], *processes_of(small, silent)):
        process.kill()
    start_worker(small)
    state = small.ended(silent, SILENT_SECONDS + SECOND_LOOK.total_seconds() + 120)
    assert (state["type"], state["message"]) == ("CRASHED", GONE)
    for run in (healthy, foreign):
        assert small.ended(run, 240)["type"] == "COMPLETED"
        assert "CRASHED" not in past(small, run)
    assert heartbeats(small, foreign) == 1


def test_killed_flow_is_crashed_at_once_by_its_worker(small: Served) -> None:
    run = small.start("beat/on-demand", {"seconds": 3600})
    small.until(lambda: is_running(small, run), 120)
    processes_of(small, run)[-1].kill()
    assert small.ended(run, 60)["type"] == "CRASHED"


def test_a_run_survives_a_server_that_is_away_for_longer_than_silence(small: Served) -> None:
    run = small.start("beat/on-demand", {"seconds": 2 * SILENT_SECONDS + SECOND_LOOK.total_seconds() + 60})
    small.until(lambda: is_running(small, run) and heartbeats(small, run), 180)
    server = serve.processes(small.home)["server"]
    command, environment = server.cmdline(), server.environ()
    server.kill()
    time.sleep(SILENT_SECONDS + 15)
    with (small.home / "server.log").open("ab") as log:
        again = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    try:
        small.until(lambda: serve._answers(f"{small.addresses['api']}/health"), 180)
        look = small.next_run(f"crash_silent/{LOOK}", seconds=120)
        assert small.ended(look, 240)["type"] == "COMPLETED"
        assert small.ended(run, 300)["type"] == "COMPLETED"
        assert "CRASHED" not in past(small, run)
    finally:
        again.terminate()
        again.wait(30)
