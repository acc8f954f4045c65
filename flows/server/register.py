"""Register our pools, deployments and automations at PREFECT_API_URL: `python -m evenkeel.flows.server.register`."""

import os
import subprocess
import sys
from pathlib import Path

from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.exceptions import ObjectAlreadyExists
from prefect.workers.process import ProcessWorker
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt

from evenkeel.flows.server import automations
from evenkeel.flows.server.project import ROOT, commit, require_deployments
from evenkeel.infra.errors import ResourceError

POOLS = ("cpu", "gpu")
TRIES = 3


def register(project: Path = ROOT) -> None:
    """Create what is missing on the server and bring the rest up to date; safe to repeat.

    project: the folder whose prefect.yaml is deployed. Raises RecipeError where it has none, ResourceError where the
    server refuses.
    """
    require_deployments(project)
    create_pools()
    command = [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all"]
    environment = {**os.environ, "EVENKEEL_COMMIT": commit(project)}
    try:
        for attempt in Retrying(  # a busy server on SQLite refuses now and then
            retry=retry_if_exception_type(subprocess.CalledProcessError), stop=stop_after_attempt(TRIES), reraise=True
        ):
            with attempt:
                subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, check=True)
    except subprocess.CalledProcessError as error:
        raise ResourceError(
            "prefect deploy --all failed", found=(error.stdout + error.stderr)[-2000:], where=str(project)
        ) from error
    automations.create()


def create_pools() -> None:
    """Create the process work pools that do not exist yet."""
    template = ProcessWorker.get_default_base_job_template()
    with get_client(sync_client=True) as client:
        for name in POOLS:
            try:
                client.create_work_pool(WorkPoolCreate(name=name, type="process", base_job_template=template))
            except ObjectAlreadyExists:
                continue


if __name__ == "__main__":
    register(*map(Path, sys.argv[1:]))
