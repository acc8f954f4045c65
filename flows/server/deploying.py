"""Put one deployment on a Prefect server, or bring it up to date; what a person paused there stays paused."""

import re
from collections.abc import Mapping
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any
from uuid import UUID

from prefect import Flow
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import DeploymentScheduleCreate, WorkPoolCreate
from prefect.client.schemas.objects import ConcurrencyOptions
from prefect.client.schemas.responses import DeploymentResponse
from prefect.client.schemas.schedules import construct_schedule
from prefect.events import DeploymentTriggerTypes
from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound
from prefect.flows import load_flow_from_entrypoint
from prefect.workers.process import ProcessWorker
from pydantic import TypeAdapter

from evenkeel.flows.recipe_form import short_form

Entry = dict[str, Any]
"""A deployment as it stands in prefect.yaml."""
VARIABLE = re.compile(r"\{\{ *\$(\w+) *\}\}")
SCHEDULE = ("cron", "interval", "rrule", "timezone", "anchor_date")
TRIGGER: TypeAdapter[DeploymentTriggerTypes] = TypeAdapter(DeploymentTriggerTypes)


def deploy(client: SyncPrefectClient, entry: Entry, folder: Path, variables: Mapping[str, str]) -> UUID:
    """Create the deployment of an entry, or update it, and return its id.

    On a deployment that is there already, schedules that a person added stay, and whatever a person paused or resumed -
    the deployment, a schedule, a trigger - stays as it is. folder: where its runs start. variables: what stands for
    `{{ $NAME }}` in the entry.
    """
    triggers = entry.get("triggers") or []
    plain: Entry = _filled({name: value for name, value in entry.items() if name != "triggers"}, variables)
    flow = _flow(plain["entrypoint"], folder)
    known = _known(client, f"{flow.name}/{plain['name']}")
    schema = flow.parameters.model_dump_for_openapi()
    if (plain.get("parameters") or {}).get("recipe"):  # nobody fills in a recipe here
        place = schema["properties"]["recipe"].get("position", 0)
        schema["properties"]["recipe"] = {**short_form(), "title": "recipe", "position": place}
    limit = plain.get("concurrency_limit")
    pool = plain.get("work_pool") or {}
    found = client.create_deployment(
        flow_id=client.create_flow_from_name(flow.name),
        name=plain["name"],
        version=plain.get("version"),
        schedules=_schedules(plain, known),
        concurrency_limit=limit["limit"] if isinstance(limit, dict) else limit,
        concurrency_options=_options(limit),
        parameters=plain.get("parameters"),
        description=plain.get("description") or flow.description,
        work_pool_name=pool.get("name"),
        work_queue_name=pool.get("work_queue_name"),
        job_variables=pool.get("job_variables"),
        tags=plain.get("tags"),
        entrypoint=plain["entrypoint"],
        parameter_openapi_schema=schema,
        enforce_parameter_schema=True,
        paused=known.paused if known is not None else bool(plain.get("paused")),
        pull_steps=[{"prefect.deployments.steps.set_working_directory": {"directory": str(folder)}}],
    )
    _set_triggers(client, found, plain["name"], triggers)
    return found


def require_pool(client: SyncPrefectClient, name: str) -> None:
    """Create a work pool of processes where there is none of this name."""
    template = ProcessWorker.get_default_base_job_template()
    with suppress(ObjectAlreadyExists):
        client.create_work_pool(WorkPoolCreate(name=name, type="process", base_job_template=template))


def _filled(value: Any, variables: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        return {name: _filled(one, variables) for name, one in value.items()}
    if isinstance(value, list):
        return [_filled(one, variables) for one in value]
    if isinstance(value, str):
        return VARIABLE.sub(lambda found: variables.get(found[1], found[0]), value)
    return value


def _flow(entrypoint: str, folder: Path) -> Flow[..., Any]:
    if ":" in entrypoint:
        path, _, name = entrypoint.rpartition(":")
        return load_flow_from_entrypoint(f"{folder / path}:{name}")
    module, _, name = entrypoint.rpartition(".")
    found: Flow[..., Any] = getattr(import_module(module), name)
    return found


def _known(client: SyncPrefectClient, name: str) -> DeploymentResponse | None:
    try:
        return client.read_deployment_by_name(name)
    except ObjectNotFound:
        return None


def _schedules(entry: Entry, known: DeploymentResponse | None) -> list[DeploymentScheduleCreate]:
    """Return the schedules of an entry, each as active as it is on the server, and those that a person added there."""
    there = {} if known is None else {one.slug: one for one in known.schedules if one.slug}
    found = []
    for written in entry.get("schedules") or []:
        rest = {name: written[name] for name in ("active", "parameters", "slug") if name in written}
        when = construct_schedule(**{name: written[name] for name in SCHEDULE if name in written})
        one = DeploymentScheduleCreate(schedule=when, **rest)
        if one.slug in there:
            one.active = there[one.slug].active
        found.append(one)
    added = [] if known is None else [one for one in known.schedules if not one.slug]
    return found + [
        DeploymentScheduleCreate(schedule=one.schedule, active=one.active, parameters=one.parameters) for one in added
    ]


def _options(limit: object) -> ConcurrencyOptions | None:
    if not isinstance(limit, dict):
        return None
    return ConcurrencyOptions.model_validate({name: value for name, value in limit.items() if name != "limit"})


def _set_triggers(client: SyncPrefectClient, deployment: UUID, name: str, written: list[Entry]) -> None:
    """Make the automations of a deployment anew, each enabled as the one of its name that was there."""
    owner = f"prefect.deployment.{deployment}"
    there = {one.name: one.enabled for one in client.read_resource_related_automations(owner)} if written else {}
    client.delete_resource_owned_automations(owner)
    for number, each in enumerate(written, start=1):
        trigger = TRIGGER.validate_python({"name": f"{name}__automation_{number}", **each})
        trigger.set_deployment_id(deployment)
        made = trigger.as_automation()
        made.enabled = there.get(made.name, made.enabled)
        client.create_automation(made)
