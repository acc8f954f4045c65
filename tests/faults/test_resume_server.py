"""The server comes back and the run has survived; silent runs are crashed, healthy ones left alone. In real time."""

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import yaml

from flows import serve
from flows.automations import SILENCE
from flows.register import ROOT
from tests.conftest import Served

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
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
    serve.down(home)


def process_of(small: Served, run: str) -> psutil.Process:
    """Return the process in which a run is going on."""
    worker = serve.processes(small.home)["worker"]

    def find() -> psutil.Process | None:
        for child in worker.children(recursive=True):
            if child.environ().get("PREFECT__FLOW_RUN_ID", "").replace("-", "") == run.replace("-", ""):
                return child
        return None

    found = small.until(find, 120)
    assert isinstance(found, psutil.Process)
    return found


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
    flow, worker = process_of(small, silent), serve.processes(small.home)["worker"]
    worker.kill()
    flow.kill()
    state = small.ended(silent, SILENCE.total_seconds() + 120)
    assert (state["type"], state["message"]) == ("CRASHED", "no heartbeat: the process is gone")


def test_killed_flow_is_crashed_at_once_by_its_worker(small: Served) -> None:
    run = small.start("beat/on-demand", {"seconds": 3600})
    small.until(lambda: is_running(small, run), 120)
    process_of(small, run).kill()
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
