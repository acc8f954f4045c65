"""Fixtures that many rooms share: a quiet environment, and one Prefect server for the whole session."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from infra.environment import set_defaults

set_defaults()
os.environ["PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW"] = "ignore"

import httpx
import pytest
import yaml


@pytest.fixture(scope="session")
def prefect_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """One temporary Prefect server with a database of its own for all tests that run flows."""
    from prefect.settings import PREFECT_HOME, temporary_settings
    from prefect.testing.utilities import prefect_test_harness

    with (
        temporary_settings({PREFECT_HOME: tmp_path_factory.mktemp("prefect")}),
        prefect_test_harness(server_startup_timeout=120),
    ):
        yield


class Served:
    """A Prefect server with a worker and all deployments, started as `make serve` starts it, seen through its API."""

    def __init__(self, home: Path, project: Path, addresses: dict[str, str]) -> None:
        self.home, self.project, self.addresses = home, project, addresses
        self.api = httpx.Client(base_url=addresses["api"], timeout=60)

    def ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        answer = self.api.request(method, path, json=body)
        assert answer.is_success, answer.text
        return answer.json() if answer.content else None

    def deployment(self, name: str) -> dict[str, Any]:
        return dict(self.ask("GET", f"/deployments/name/{name}"))

    def start(self, name: str, parameters: dict[str, Any] | None = None) -> str:
        """Start a run of the deployment `flow/name` and return its id."""
        path = f"/deployments/{self.deployment(name)['id']}/create_flow_run"
        return str(self.ask("POST", path, {"parameters": parameters or {}, "state": {"type": "SCHEDULED"}})["id"])

    def runs(self, name: str) -> list[dict[str, Any]]:
        """Return the runs of a deployment, oldest first."""
        wanted = {"deployments": {"id": {"any_": [self.deployment(name)["id"]]}}, "sort": "EXPECTED_START_TIME_ASC"}
        return list(self.ask("POST", "/flow_runs/filter", wanted))

    def wait_for(self, name: str, state: str, seconds: float, than: int = 1) -> list[dict[str, Any]]:
        """Return the runs of a deployment that are in `state` as soon as there are `than`, or fail."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            runs = self.runs(name)
            if len(there := [run for run in runs if run["state_type"] == state]) >= than:
                return there
            time.sleep(0.5)
        logs = (self.home / "worker.log").read_text()[-4000:]
        raise AssertionError(f"{name} was not {state} in {seconds} s but {[run['state'] for run in runs]}\n{logs}")

    def prefect(self, *arguments: str) -> str:
        """Run the Prefect command line against this server."""
        environment = os.environ | {
            "PREFECT_API_URL": self.addresses["api"],
            "PREFECT_HOME": str(self.home / "prefect"),
        }
        command = [sys.executable, "-m", "prefect", "--no-prompt", *arguments]
        done = subprocess.run(command, cwd=self.project, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """What `make serve` starts, on free ports and in folders of its own, with a few small deployments for tests."""
    from flows import serve
    from flows.register import ROOT

    home, project = tmp_path_factory.mktemp("serve"), tmp_path_factory.mktemp("project")
    for name in ("flows", "tasks", "expectations", "infra"):
        (project / name).symlink_to(ROOT / name)
    (project / "jobs.py").symlink_to(ROOT / "tests" / "flows" / "jobs.py")
    document = yaml.safe_load((ROOT / "prefect.yaml").read_text())
    document["deployments"] += yaml.safe_load((ROOT / "tests" / "flows" / "jobs.yaml").read_text())
    (project / "prefect.yaml").write_text(yaml.safe_dump(document))
    addresses = serve.up(home, port=serve.free_port(), s3_port=serve.free_port(), project=project)
    yield Served(home, project, addresses)
    serve.down(home)
