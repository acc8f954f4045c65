"""Deployments of a person's own recipe, from any folder: on a schedule, on new files, and kept fresh."""

import os
from datetime import timedelta
from pathlib import Path
from typing import Any

from prefect.automations import Automation
from prefect.client.orchestration import get_client
from prefect.events import Posture
from prefect.events.actions import RunDeployment
from prefect.events.schemas.automations import EventTrigger
from pydantic import BaseModel

from evenkeel.flows.answer import Answer
from evenkeel.flows.known import remember
from evenkeel.flows.places import FOLDER
from evenkeel.flows.recipe import READY, load
from evenkeel.flows.server.automations import HEARTBEAT_SETTING, TAG, put
from evenkeel.flows.server.deploying import Entry, deploy, require_pool
from evenkeel.flows.server.project import ROOT, commit
from evenkeel.flows.server.submit import missing_worker, require_server
from evenkeel.infra.errors import RecipeError

HEARTBEAT_SECONDS = "30"


class Deployed(BaseModel):
    """What `deploy` put on a server: the names of the deployments, what starts them, and what they wait for."""

    deployments: list[str]
    url: str
    starts: list[str]
    paused: bool
    waits: str


def deploy_recipe(
    path: str,
    overrides: list[str],
    *,
    cron: str = "",
    timezone: str = "Etc/UTC",
    on_new_files: bool = False,
    fresh_hours: float | None = None,
    paused: bool = False,
    pool: str = "cpu",
    folder: Path | None = None,
) -> Answer[Deployed]:
    """Create the deployments of a recipe at PREFECT_API_URL, or bring them up to date; safe to repeat.

    `curate/<dataset>` runs it, by `cron` where that is given. on_new_files: `watch/<dataset>` looks for new or changed
    shards and starts it. fresh_hours: an automation starts it where it has not completed for that long. paused: made,
    but nothing starts until a person resumes it; what a person paused or resumed on the server stays so. folder: where
    runs start, so that relative paths of the recipe mean what they mean there; the current one by default.

    Raises RecipeError where the recipe or the schedule cannot be read, ResourceError where no server answers.
    """
    address = require_server()
    place = (folder or Path.cwd()).absolute()
    recipe = load(path, overrides)
    file = path if not (place / path).is_file() and (READY / f"{path}.yaml").is_file() else str(place / path)
    document = {"file": file, "overrides": overrides}
    entries = [_curating(recipe.dataset, document, cron, timezone, paused, pool)]
    starts = [f"by the schedule {cron!r} ({timezone})"] if cron else []
    if on_new_files:
        entries.append(_watching(recipe.dataset, document, paused, pool))
        starts.append("when files are added to or changed in the source")
    with get_client(sync_client=True) as client:
        require_pool(client, pool)
        variables = {**os.environ, "EVENKEEL_COMMIT": commit(ROOT)}
        try:
            ids = [deploy(client, entry, place, variables) for entry in entries]
        except ValueError as error:
            raise RecipeError(
                "the schedule cannot be read", found=str(error)[:500], expected='such as "0 3 * * 1"'
            ) from error
        if fresh_hours is not None:
            _keep_fresh(recipe.dataset, ids[0], fresh_hours)
            starts.append(f"when it has not completed for {fresh_hours:g} hours")
        state = client.read_deployment(ids[0])
    remember(recipe)
    found = Deployed(
        deployments=[f"{entry['entrypoint'].rpartition('.')[2]}/{entry['name']}" for entry in entries],
        url=f"{address.removesuffix('/api')}/deployments/deployment/{ids[0]}",
        starts=starts,
        paused=bool(state.paused),
        waits=missing_worker(pool),
    )
    when = " and ".join(starts) or "when somebody starts it"
    lines = [f"{' and '.join(found.deployments)}: {recipe.dataset} is curated {when}", found.url]
    lines += ["it is paused: resume it in the UI, or with `prefect deployment resume`"] if found.paused else []
    return Answer(found, "\n".join([*lines, *([found.waits] if found.waits else [])]))


def _entry(flow: str, dataset: str, document: dict[str, Any], paused: bool, pool: str) -> Entry:
    environment = {"EVENKEEL_COMMIT": "{{ $EVENKEEL_COMMIT }}", HEARTBEAT_SETTING: HEARTBEAT_SECONDS, FOLDER: "1"}
    return {
        "name": dataset,
        "entrypoint": flow,
        "version": "{{ $EVENKEEL_COMMIT }}",
        "parameters": {"recipe": document},
        "work_pool": {"name": pool, "job_variables": {"env": environment}},
        "concurrency_limit": {"limit": 1, "collision_strategy": "CANCEL_NEW"},
        "paused": paused,
    }


def _curating(dataset: str, document: dict[str, Any], cron: str, timezone: str, paused: bool, pool: str) -> Entry:
    entry = _entry("evenkeel.flows.curate.curate", dataset, document, paused, pool)
    schedules = [{"slug": "schedule", "cron": cron, "timezone": timezone, "active": True}] if cron else []
    return {
        **entry,
        "description": f"Curate {dataset}. Made by `evenkeel deploy`.",
        "tags": [TAG, "curate", dataset],
        "parameters": {"recipe": document, "if_busy": "drop"},
        "schedules": schedules,
    }


def _watching(dataset: str, document: dict[str, Any], paused: bool, pool: str) -> Entry:
    entry = _entry("evenkeel.flows.server.watch.watch", dataset, document, paused, pool)
    return {
        **entry,
        "description": f"Look for new shards of {dataset} and start curate/{dataset}. Made by `evenkeel deploy`.",
        "tags": [TAG, "watch", dataset],
        "schedules": [{"slug": "hourly", "cron": "0 * * * *", "timezone": "Etc/UTC", "active": True}],
    }


def _keep_fresh(dataset: str, deployment: Any, hours: float) -> None:
    """Have the server start a deployment again where no run of it has completed for so long."""
    made = Automation(
        name=f"evenkeel: {dataset} is kept fresh",
        description=f"Starts curate/{dataset} where none of its runs has completed for {hours:g} hours.",
        trigger=EventTrigger(
            match={"prefect.resource.id": "prefect.flow-run.*"},
            match_related={
                "prefect.resource.role": "deployment",
                "prefect.resource.id": f"prefect.deployment.{deployment}",
            },
            expect={"prefect.flow-run.Completed"},
            posture=Posture.Proactive,
            threshold=1,
            within=timedelta(hours=hours),
        ),
        actions=[RunDeployment(deployment_id=deployment)],
    )
    put(made)
