"""Register our pools, deployments and automations at PREFECT_API_URL: `python -m evenkeel.flows.server.register`."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import yaml
from prefect.client.orchestration import get_client
from prefect.exceptions import PrefectHTTPStatusError
from pydantic import ValidationError

from evenkeel.flows.places import FOLDER
from evenkeel.flows.server import automations
from evenkeel.flows.server.deploying import deploy, require_pool
from evenkeel.flows.server.project import ROOT, commit, folder_of_runs, is_installed, require_deployments
from evenkeel.infra.compute import gpu_count
from evenkeel.infra.errors import ResourceError

CPU, GPU = "cpu", "gpu"


def register(project: Path = ROOT, tell: Callable[[str], None] = print) -> None:
    """Create what is missing on the server and bring the rest up to date; safe to repeat.

    What a person paused on the server stays paused. project: the folder whose prefect.yaml is deployed; runs start in
    it, or in the current folder where it is an installed package. tell: is told each thing that is done. Raises
    RecipeError where there is no prefect.yaml, ResourceError where the server refuses.
    """
    require_deployments(project)
    pools = create_pools()
    written: list[dict[str, Any]] = yaml.safe_load((project / "prefect.yaml").read_text())["deployments"]
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


def create_pools() -> set[str]:
    """Create the process work pools that do not exist yet, that for GPUs only where there is one; return all names."""
    with get_client(sync_client=True) as client:
        for name in (CPU, GPU) if gpu_count() else (CPU,):
            require_pool(client, name)
        return {pool.name for pool in client.read_work_pools()}


def _say(sentence: str) -> None:
    print(sentence, flush=True)


if __name__ == "__main__":
    register(Path(sys.argv[1]) if sys.argv[1:] else ROOT, _say)
