"""Checks what a run needs - packages, server, workers, source, store, catalog, compute - and says what to do."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from importlib import metadata

import prefect
from packaging.requirements import Requirement
from prefect import flow
from prefect.artifacts import create_table_artifact
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterTags
from prefect.client.schemas.responses import DeploymentResponse
from prefect.settings import get_current_settings
from pydantic import BaseModel

from evenkeel.flows.answer import Answer
from evenkeel.flows.failures import explained
from evenkeel.flows.recipe import Recipe, loaded
from evenkeel.flows.recipe_form import AnyRecipe
from evenkeel.flows.server.automations import CRASH_DEPLOYMENT, HEARTBEAT_SETTING, TAG, silence_in_force
from evenkeel.flows.server.submit import online_workers
from evenkeel.infra.catalog import address, is_missing, open_catalog
from evenkeel.infra.cluster_files import read_cluster
from evenkeel.infra.compute import gpu_count, open_compute
from evenkeel.infra.errors import EvenkeelError, ResourceError
from evenkeel.infra.memory import machine_memory
from evenkeel.infra.writable import require_writable
from evenkeel.tasks.ingest.source import ingest_request


class Finding(BaseModel):
    """What one check found, and the remedy where something is wrong."""

    check: str
    ok: bool
    found: str
    remedy: str = ""

    def line(self) -> str:
        """Return the finding as a line of text; the remedy, where there is one, below it."""
        remedy = f"\n      {self.remedy}" if self.remedy else ""
        return f"{'ok   ' if self.ok else 'WRONG'} {self.check}: {self.found}{remedy}"


@flow(name="diagnose", flow_run_name="diagnose")
@explained
def diagnose(recipe: AnyRecipe) -> list[dict[str, object]]:
    """Check everything that a run of this recipe needs; fails when something is wrong, saying what and the remedy.

    Args:
        recipe: The recipe whose store, catalog and compute are checked; or the file that holds it.
    """
    answer = examine(loaded(recipe))
    rows = [finding.model_dump() for finding in answer.result]
    create_table_artifact(rows, key="diagnosis", description="What a run needs, and what is wrong with it")
    if wrong := [finding for finding in answer.result if not finding.ok]:
        raise ResourceError(
            f"{len(wrong)} of {len(rows)} checks failed",
            found="; ".join(f"{finding.check}: {finding.found}" for finding in wrong),
            remedy="; ".join(finding.remedy for finding in wrong if finding.remedy) or None,
        )
    return rows


def examine(recipe: Recipe) -> Answer[list[Finding]]:
    """Return the finding of every check; none raises. The answer is ok where all of them are."""
    found = [_examine(name, check, recipe) for name, check in CHECKS.items()]
    return Answer(found, "\n".join(finding.line() for finding in found), ok=all(finding.ok for finding in found))


def _examine(name: str, check: Callable[[Recipe], str], recipe: Recipe) -> Finding:
    try:
        return Finding(check=name, ok=True, found=check(recipe))
    except EvenkeelError as error:
        found = ": ".join(part for part in (error.message, error.found) if part)
        return Finding(check=name, ok=False, found=found, remedy=error.remedy or "")
    except Exception as error:  # a check that breaks is a finding, and the other checks still run
        return Finding(check=name, ok=False, found=f"{type(error).__name__}: {error}")


def packages(_recipe: Recipe) -> str:
    """Compare the installed packages with the versions that this release was made for."""
    required = [Requirement(line) for line in metadata.requires("evenkeel") or []]
    wanted = [each for each in required if each.marker is None or each.marker.evaluate({"extra": ""})]
    wrong = []
    for each in wanted:
        try:
            installed = metadata.version(each.name)
        except metadata.PackageNotFoundError:
            installed = "missing"
        if installed == "missing" or not each.specifier.contains(installed, prereleases=True):
            wrong.append(f"{each.name} {installed} instead of {each.specifier}")
    if wrong:
        raise ResourceError("packages differ from the release's", found=", ".join(wrong), remedy="make setup")
    return f"evenkeel {metadata.version('evenkeel')}, {len(wanted)} packages as released"


def server(_recipe: Recipe) -> str:
    """Check that the Prefect server answers and is of our version."""
    with _server_client() as client:
        version = client.api_version()
    if version != prefect.__version__:
        raise ResourceError(
            f"the server is Prefect {version}, this is {prefect.__version__}", remedy="run both from one image"
        )
    return f"Prefect {version} at {get_current_settings().api.url}"


def workers(recipe: Recipe) -> str:
    """Check that a worker would take a run of this recipe, and that runs send heartbeats often enough."""
    pool = "gpu" if read_cluster(recipe.compute).kind == "gpu" else "cpu"
    with _server_client() as client:
        online = online_workers(pool)
        ours = client.read_deployments(deployment_filter=DeploymentFilter(tags=DeploymentFilterTags(all_=[TAG])))
    if not online:
        raise ResourceError(
            f"the work pool {pool!r} has no worker: its runs would stay Late",
            remedy=f"prefect worker start --pool {pool} --type process",
        )
    often = [str((each.job_variables.get("env") or {}).get(HEARTBEAT_SETTING, "180")) for each in ours]
    remedy = "register them again: python -m evenkeel.flows.server.register"
    if not often:
        raise ResourceError("our deployments are not on the server", remedy=remedy)
    within = silence_in_force()
    if within is not None and 3 * max(map(float, often)) > (limit := within.total_seconds()):
        found = f"a heartbeat every {' or '.join(sorted(set(often)))} s, silence after {limit:.0f} s"
        raise ResourceError("healthy runs would be taken for dead", found=found, remedy=remedy)
    return f"{len(online)} online in the pool {pool!r}; {_looked_after(within, ours)}"


def _looked_after(within: timedelta | None, ours: list[DeploymentResponse]) -> str:
    """Say after which silence a run is looked after. Raises ResourceError where nobody would come to do it."""
    if within is None:
        return "nobody looks after runs that fall silent"
    name = CRASH_DEPLOYMENT.partition("/")[2]
    pool = next((each.work_pool_name for each in ours if each.name == name), None)
    if pool is None or not online_workers(pool):
        raise ResourceError(
            "runs that fall silent would stay Running",
            found=f"the work pool {pool!r} of the deployment {name} has no worker",
            remedy=f"prefect worker start --pool {pool} --type process, or give the deployment another pool",
        )
    return f"silent runs are looked after in {within.total_seconds():.0f} s"


def source(recipe: Recipe) -> str:
    """List the shards of the source."""
    shards = ingest_request(recipe.source).shards
    return f"{len(shards)} shards, {sum(shard.bytes for shard in shards):,} bytes"


def workspace(recipe: Recipe) -> str:
    """Check that files can be written where steps keep their outputs; none is left there."""
    return _takes_files(recipe.workspace)


def destination(recipe: Recipe) -> str:
    """Check that files can be written where versions are published; none is left there."""
    return _takes_files(recipe.destination.uri)


def catalog(recipe: Recipe) -> str:
    """Open the catalog of versions and list what it knows."""
    place = recipe.destination.catalog, recipe.destination.uri
    if is_missing(*place):
        return f"{address(*place)}: the first publication creates it"
    with open_catalog(*place) as opened:
        return f"{address(*place)}: {len(opened.list_namespaces())} namespaces"


def compute(recipe: Recipe) -> str:
    """Open the compute that the recipe names; where a Dask scheduler runs already, compare its packages with ours."""
    with open_compute(recipe.compute, memory_gib=recipe.memory_gib) as opened:
        if read_cluster(recipe.compute).kind == "address" and (client := opened.client) is not None:
            client.get_versions(check=True)
            return f"{len(client.scheduler_info()['workers'])} Dask workers at {recipe.compute}"
        found = f"{recipe.compute}: {opened.workers} workers of {opened.memory_limit / 2**30:.1f} GiB"
    return f"{found}; this machine: {os.cpu_count()} cores, {machine_memory() / 2**30:.0f} GiB, {gpu_count()} GPUs"


CHECKS: dict[str, Callable[[Recipe], str]] = {
    check.__name__: check for check in (packages, server, workers, source, workspace, destination, catalog, compute)
}


@contextmanager
def _server_client() -> Iterator[SyncPrefectClient]:
    address = get_current_settings().api.url
    if not address:
        raise ResourceError(
            "no Prefect server is named; runs here start a temporary one",
            remedy="for schedules and the UI: evenkeel serve, then export PREFECT_API_URL=http://127.0.0.1:4200/api",
        )
    with get_client(sync_client=True) as client:
        if (error := client.api_healthcheck()) is not None:
            raise ResourceError(
                f"no Prefect server answers at {address}",
                found=f"{type(error).__name__}: {error}",
                remedy="start it (evenkeel serve), or correct PREFECT_API_URL",
            )
        yield client


def _takes_files(folder: str) -> str:
    require_writable(folder)
    return f"{folder} takes files"
