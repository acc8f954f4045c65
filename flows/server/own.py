"""Deployments of a person's own recipe, from any folder: on a schedule, on new files, and kept fresh."""

import os
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from prefect.automations import Automation
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.events import Posture
from prefect.events.actions import RunDeployment
from prefect.events.schemas.automations import EventTrigger
from prefect.exceptions import ObjectNotFound
from pydantic import BaseModel

from evenkeel.flows.answer import Answer
from evenkeel.flows.columns import require_columns
from evenkeel.flows.known import remember
from evenkeel.flows.places import FOLDER
from evenkeel.flows.recipe import READY, Recipe, load
from evenkeel.flows.server.automations import HEARTBEAT_SETTING, TAG, put
from evenkeel.flows.server.deploying import Entry, deploy, require_pool
from evenkeel.flows.server.project import ROOT, commit
from evenkeel.flows.server.submit import missing_worker, require_server
from evenkeel.infra.errors import InputError, RecipeError, StorageError
from evenkeel.tasks.ingest.listing import ListedShard
from evenkeel.tasks.ingest.plan import inspect_shard, plan_columns
from evenkeel.tasks.ingest.reader import Harvester, reader_of
from evenkeel.tasks.ingest.source import ingest_request

HEARTBEAT_SECONDS = "30"
LOOKED_AT = 20
"""Shards that are opened to look for the columns of a recipe before it is deployed."""


class Deployed(BaseModel):
    """What `deploy` put on a server: the names of the deployments, what starts them, and what they wait for.

    noticed: what may keep a run from reading the source, as far as is seen from here; "" where nothing does.
    """

    deployments: list[str]
    url: str
    starts: list[str]
    paused: bool
    waits: str
    noticed: str = ""


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

    Raises RecipeError where the recipe or the schedule cannot be read, InputError where the source has no such columns,
    ResourceError where no server answers.
    """
    address = require_server()
    place = (folder or Path.cwd()).absolute()
    recipe = load(path, overrides)
    noticed = _look(recipe)
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
                "the schedule cannot be read", found=f"{cron} ({timezone})", expected='such as "0 3 * * 1" (Etc/UTC)'
            ) from error
        if fresh_hours is not None:
            _keep_fresh(recipe.dataset, ids[0], fresh_hours)
            starts.append(f"when it has not completed for {fresh_hours:g} hours")
        if not on_new_files and _watched(client, recipe.dataset):
            starts.append(f"when files are added to or changed in the source (watch/{recipe.dataset}, made before)")
        state = client.read_deployment(ids[0])
    remember(recipe)
    found = Deployed(
        deployments=[f"{entry['entrypoint'].rpartition('.')[2]}/{entry['name']}" for entry in entries],
        url=f"{address.removesuffix('/api')}/deployments/deployment/{ids[0]}",
        starts=starts,
        paused=bool(state.paused),
        waits=missing_worker(pool),
        noticed=noticed,
    )
    when = " and ".join(starts) or "when somebody starts it"
    lines = [f"{' and '.join(found.deployments)}: {recipe.dataset} is curated {when}", found.url]
    lines += ["it is paused: resume it in the UI, or with `prefect deployment resume`"] if found.paused else []
    return Answer(found, "\n".join([*lines, *filter(None, [found.noticed, found.waits])]))


def _look(recipe: Recipe) -> str:
    """Return why a run might not be able to read the source, "" where nothing is seen that would keep it from that.

    A source may be there for workers alone, or not yet; of many shards only some are opened, and later ones may have
    more columns. Raises InputError or RecipeError where columns are named that no shard has.
    """
    shards: Sequence[ListedShard] = []
    try:
        shards = ingest_request(recipe.source).shards
        first = shards[:LOOKED_AT]
        if not isinstance(reader_of(first[0].format), Harvester):  # such a source has its columns by itself
            plan_columns(recipe.source, first, [inspect_shard(shard) for shard in first])
        require_columns(recipe, shards)
    except (InputError, StorageError) as error:
        why = str(error).splitlines()[0]
        if not shards or isinstance(error, StorageError):
            return f"the source cannot be read here and now: {why}"
        if len(shards) <= LOOKED_AT:
            raise
        return f"of {len(shards):,} shards the first {LOOKED_AT} were opened: {why}"
    return ""


def _watched(client: SyncPrefectClient, dataset: str) -> bool:
    """Tell whether an earlier call made a deployment that looks for new shards, and nobody paused it."""
    try:
        return not client.read_deployment_by_name(f"watch/{dataset}").paused
    except ObjectNotFound:
        return False


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
