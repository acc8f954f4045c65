"""Register our pools, deployments and automations at PREFECT_API_URL: `python -m evenkeel.flows.server.register`."""

import argparse
import os
import time
from collections.abc import Callable, Iterable
from importlib import import_module
from pathlib import Path
from typing import Any

import httpx
import yaml
from prefect.client.orchestration import get_client
from prefect.exceptions import PrefectHTTPStatusError
from prefect.settings import PREFECT_API_URL
from pydantic import ValidationError

from evenkeel.flows.places import FOLDER
from evenkeel.flows.server import automations
from evenkeel.flows.server.deploying import deploy, require_pool
from evenkeel.flows.server.project import ROOT, commit, folder_of_runs, is_installed, require_deployments
from evenkeel.infra.compute import gpu_count
from evenkeel.infra.errors import ResourceError

CPU, GPU = "cpu", "gpu"


def register(project: Path = ROOT, tell: Callable[[str], None] = print, wait: float = 0.0) -> None:
    """Create what is missing on the server and bring the rest up to date; safe to repeat.

    What a person paused on the server stays paused. project: the folder whose prefect.yaml is deployed; runs start in
    it, or in the current folder where it is an installed package. tell: is told each thing that is done. wait: seconds
    within which a server that is being started must answer. Raises RecipeError where there is no prefect.yaml,
    ResourceError where the server refuses, or does not answer in time.
    """
    require_deployments(project)
    written: list[dict[str, Any]] = yaml.safe_load((project / "prefect.yaml").read_text())["deployments"]
    if wait:
        _read_flows(entry["entrypoint"] for entry in written if entry["work_pool"]["name"] == CPU)
        _wait_for_server(wait)
    pools = create_pools()
    entries = [entry for entry in written if entry["work_pool"]["name"] in pools]
    if is_installed(project):
        for entry in entries:
            pool = entry["work_pool"]
            environment = {**pool["job_variables"]["env"], FOLDER: "1"}
            entry["work_pool"] = {**pool, "job_variables": {**pool["job_variables"], "env": environment}}
    variables = {**os.environ, "EVENKEEL_COMMIT": commit(project)}
    with get_client(sync_client=True) as client:
        for number, entry in enumerate(entries, start=1):
            tell(f"deployment {number} of {len(entries)}: {entry['name']}")
            try:
                deploy(client, entry, folder_of_runs(project), variables)
            except (PrefectHTTPStatusError, httpx.HTTPError, ValidationError, ValueError) as error:
                raise ResourceError(
                    f"the deployment {entry['name']} cannot be registered", found=str(error)[-2000:], where=str(project)
                ) from error
    tell("automations")
    automations.create()


def _read_flows(entrypoints: Iterable[str]) -> None:
    """Import the modules of flows and draw up their forms: seconds of work that need no server."""
    for module in dict.fromkeys(name.rpartition(".")[0] for name in entrypoints if ":" not in name):
        import_module(module)


def _wait_for_server(seconds: float) -> None:
    """Return once the server answers. Raises ResourceError where it does not in so many seconds."""
    address, deadline = PREFECT_API_URL.value(), time.monotonic() + seconds
    while True:
        try:
            httpx.get(f"{address}/health", timeout=5)
        except httpx.HTTPError as error:
            if time.monotonic() > deadline:
                raise ResourceError("no Prefect server answers", found=str(error), where=str(address)) from error
            time.sleep(0.2)
        else:
            return


def create_pools() -> set[str]:
    """Create the process work pools that do not exist yet, that for GPUs only where there is one; return all names."""
    with get_client(sync_client=True) as client:
        for name in (CPU, GPU) if gpu_count() else (CPU,):
            require_pool(client, name)
        return {pool.name for pool in client.read_work_pools()}


def _say(sentence: str) -> None:
    print(sentence, flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("project", nargs="?", type=Path, default=ROOT)
    parser.add_argument("--wait", type=float, default=0.0)
    given = parser.parse_args()
    register(given.project, _say, given.wait)
