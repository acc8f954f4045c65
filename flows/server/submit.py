"""Submit a recipe to a Prefect server, whose workers run it."""

import os
import re
import time
from collections.abc import Callable
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId
from prefect.client.schemas.objects import FlowRun, WorkerStatus
from prefect.deployments import run_deployment
from prefect.exceptions import ObjectNotFound
from pydantic import BaseModel

from evenkeel.flows.answer import Answer
from evenkeel.flows.places import with_absolute_paths
from evenkeel.flows.recipe import Recipe
from evenkeel.infra.errors import ResourceError


class Submission(BaseModel):
    """A flow run that was asked for. waits: why it cannot start yet; empty where a worker is there."""

    name: str
    waits: str
    id: str
    state: str
    url: str


def online_workers(pool: str) -> list[str]:
    """Return the names of the workers that poll a work pool, at the server at PREFECT_API_URL."""
    with get_client(sync_client=True) as client:
        workers = client.read_workers_for_work_pool(pool)
        return [worker.name for worker in workers if worker.status == WorkerStatus.ONLINE]


def submit(deployment: str, recipe: Recipe, force: bool = False) -> Answer[Submission]:
    """Ask the server at PREFECT_API_URL for a run of `deployment`, and return at once.

    Relative paths of the recipe are taken from the folder where this is called: the worker runs in another one.

    Raises ResourceError where no server is named or none answers, or where it knows no such deployment.
    """
    address = require_server()
    parameters = {"recipe": with_absolute_paths(recipe).model_dump(mode="json"), "force": force}
    try:
        flow_run = run_deployment(deployment, parameters=parameters, timeout=0)
    except ObjectNotFound as error:
        raise ResourceError(
            f"the server knows no deployment {deployment}",
            where=address,
            remedy="python -m evenkeel.flows.server.register makes ours, evenkeel deploy RECIPE your own",
        ) from error
    assert isinstance(flow_run, FlowRun)
    submission = Submission(
        name=flow_run.name,
        waits=missing_worker(flow_run.work_pool_name),
        id=str(flow_run.id),
        state=flow_run.state_name or "",
        url=f"{address.removesuffix('/api')}/runs/flow-run/{flow_run.id}",
    )
    waits = f"\n{submission.waits}" if submission.waits else ""
    return Answer(submission, f"flow run {submission.name} is {submission.state}: {submission.url}{waits}")


def require_server() -> str:
    """Return the address of the server at PREFECT_API_URL; raises ResourceError where none is named or answers."""
    address = os.environ.get("PREFECT_API_URL")
    if not address:
        raise ResourceError(
            "no Prefect server is named",
            expected="PREFECT_API_URL=http://host:4200/api",
            remedy="`evenkeel serve` starts one here; `evenkeel run` needs none",
        )
    with get_client(sync_client=True) as client:
        if (error := client.api_healthcheck()) is not None:
            raise ResourceError(
                "the Prefect server does not answer", found=str(error), where=address, remedy="start it: evenkeel serve"
            )
    return address


def ended(submission: Submission, tell: Callable[[str], None], seconds: float = 2.0) -> Answer[Submission]:
    """Wait until a run has ended and return what it came to; ok only where it completed.

    tell: is told each state that it takes. seconds: between two looks.
    """
    said = submission.state
    with get_client(sync_client=True) as client:
        while True:
            state = client.read_flow_run(UUID(submission.id)).state
            assert state is not None
            if state.name != said:
                said = state.name or state.type.value
                tell(f"{submission.name}: {said}")
            if state.is_final():
                break
            time.sleep(seconds)
        card = _card_of(client, submission.id) if state.is_completed() else ""
    message = f"{submission.name} is {said}: {state.message or submission.url}" + (f"\ncard: {card}" if card else "")
    return Answer(submission.model_copy(update={"state": said}), message, ok=state.is_completed())


def _card_of(client: SyncPrefectClient, run: str) -> str:
    """Return the address of the card that a run made, from its page on the server; "" where it made none."""
    of_run = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[UUID(run)]))
    links = [one for one in client.read_artifacts(artifact_filter=of_run) if (one.key or "").endswith("-card-link")]
    found = re.search(r"\]\((.+?)\)", str(links[0].data)) if links else None
    return found[1] if found else ""


def missing_worker(pool: str | None) -> str:
    """Return why a run in a work pool would wait: empty where the pool has a worker, or where there is no pool."""
    if pool is None or online_workers(pool):
        return ""
    remedy = f"prefect worker start --pool {pool} --type process"
    return f"no worker polls the pool {pool!r}: the run waits until one does ({remedy})"
