"""The server comes back and the run has survived; silent runs are crashed, healthy ones left alone. In real time."""

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import yaml

from evenkeel.flows.server import serve
from evenkeel.flows.server.automations import SILENCE
from evenkeel.flows.server.project import ROOT
from tests.served import Served

pytestmark = [pytest.mark.server, pytest.mark.slow, pytest.mark.timeout(900)]
HEARTBEAT_SECONDS = 30


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Served]:
    """A server and a worker of this test's own, with the small deployments only: they are going to be killed."""
    home, project = tmp_path / "home", tmp_path / "project"
    project.mkdir()
    (project / "jobs.py").symlink_to(ROOT / "tests" / "flows" / "jobs.py")
    jobs = yaml.safe_load((ROOT / "tests" / "flows" / "jobs.yaml").read_text())
    (project / "prefect.yaml").write_text(yaml.safe_dump({"deployments": jobs}))
    served = Served(home, project, serve.up(home, port=serve.free_port(), project=project))
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


def test_silent_run_is_crashed_and_a_healthy_one_is_not(small: Served) -> None:
    healthy = small.start("beat/on-demand", {"seconds": SILENCE.total_seconds() + 3 * HEARTBEAT_SECONDS})
    assert small.ended(healthy, 420)["type"] == "COMPLETED"

    silent = small.start("beat/on-demand", {"seconds": 3600})
    small.until(lambda: is_running(small, silent), 120)
    heartbeats = {
        "filter": {
            "event": {"name": ["prefect.flow-run.heartbeat"]},
            "any_resource": {"id": [f"prefect.flow-run.{silent}"]},
        }
    }
    small.until(lambda: small.ask("POST", "/events/filter", heartbeats)["total"], 120)
    for process in (serve.processes(small.home)["worker"], *processes_of(small, silent)):
        process.kill()
    state = small.ended(silent, SILENCE.total_seconds() + 120)
    assert (state["type"], state["message"]) == ("CRASHED", "no heartbeat: the process is gone")


def test_killed_flow_is_crashed_at_once_by_its_worker(small: Served) -> None:
    run = small.start("beat/on-demand", {"seconds": 3600})
    small.until(lambda: is_running(small, run), 120)
    processes_of(small, run)[-1].kill()
    assert small.ended(run, 60)["type"] == "CRASHED"


def test_run_survives_the_death_of_its_server(small: Served) -> None:
    run = small.start("beat/on-demand", {"seconds": 45})
    small.until(lambda: is_running(small, run), 120)
    server = serve.processes(small.home)["server"]
    command, environment = server.cmdline(), server.environ()
    server.kill()
    time.sleep(5)
    with (small.home / "server.log").open("ab") as log:
        again = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    try:
        small.until(lambda: serve._answers(f"{small.addresses['api']}/health"), 180)
        assert small.ended(run, 240)["type"] == "COMPLETED"
    finally:
        again.terminate()
        again.wait(30)
