"""A Prefect server as `make serve` starts it, seen through its API and its command line."""

import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import httpx


class Served:
    """A Prefect server with a worker and all deployments, started as `make serve` starts it, seen through its API."""

    def __init__(self, home: Path, project: Path, addresses: dict[str, str]) -> None:
        self.home, self.project, self.addresses = home, project, addresses
        one_each = httpx.Limits(max_keepalive_connections=0)  # a busy server resets connections that were idle
        self.api = httpx.Client(base_url=addresses["api"], timeout=180, limits=one_each)

    def ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        answer = self.api.request(method, path, json=body)
        for _ in range(20):
            if answer.status_code != httpx.codes.SERVICE_UNAVAILABLE:  # SQLite was busy: ask again
                break
            time.sleep(0.5)
            answer = self.api.request(method, path, json=body)
        assert answer.is_success, answer.text
        return answer.json() if answer.content else None

    def deployment(self, name: str) -> dict[str, Any]:
        return dict(self.ask("GET", f"/deployments/name/{name}"))

    def names(self) -> set[str]:
        """Return the names of all deployments, `flow/name`."""
        flows = {flow["id"]: flow["name"] for flow in self.ask("POST", "/flows/filter", {})}
        return {f"{flows[each['flow_id']]}/{each['name']}" for each in self.ask("POST", "/deployments/filter", {})}

    def start(self, name: str, parameters: dict[str, Any] | None = None) -> str:
        """Start a run of the deployment `flow/name` and return its id."""
        path = f"/deployments/{self.deployment(name)['id']}/create_flow_run"
        return str(self.ask("POST", path, {"parameters": parameters or {}, "state": {"type": "SCHEDULED"}})["id"])

    def runs(self, name: str) -> list[dict[str, Any]]:
        """Return the runs of a deployment, oldest first."""
        wanted = {"deployments": {"id": {"any_": [self.deployment(name)["id"]]}}, "sort": "EXPECTED_START_TIME_ASC"}
        return list(self.ask("POST", "/flow_runs/filter", wanted))

    def next_run(self, name: str, known: Collection[str] = (), seconds: float = 60) -> str:
        """Return the id of the first run of a deployment that is not among the `known` ids, as soon as there is one."""
        new = self.until(lambda: [run["id"] for run in self.runs(name) if run["id"] not in known], seconds)
        return str(new[0])

    def ended(self, run: str, seconds: float = 180) -> dict[str, Any]:
        """Return the state of a run when it has ended: its type, name and message."""
        over = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")

        def look() -> dict[str, Any] | None:
            state = dict(self.ask("GET", f"/flow_runs/{run}")["state"])
            return state if state["type"] in over else None

        return dict(self.until(look, seconds))

    def until(self, found: Callable[[], Any], seconds: float) -> Any:
        """Return what `found` finds as soon as it finds anything; fail with the worker's log when the time is up."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if thing := found():
                return thing
            time.sleep(0.5)
        raise AssertionError(f"nothing after {seconds} s\n{(self.home / 'worker.log').read_text()[-4000:]}")

    def prefect(self, *arguments: str) -> str:
        """Run the Prefect command line against this server."""
        return self.call("-m", "prefect", "--no-prompt", *arguments)

    def python(self, code: str, **variables: str) -> str:
        """Run Python code in a process of its own that knows this server."""
        return self.call("-c", textwrap.dedent(code), **variables)

    def call(self, *arguments: str, **variables: str) -> str:
        own = {"PREFECT_API_URL": self.addresses["api"], "PREFECT_HOME": str(self.home / "prefect")}
        environment, command = os.environ | own | variables, [sys.executable, *arguments]
        done = subprocess.run(command, cwd=self.project, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout
