"""Watch a source for new shards and start the deployment of its recipe: a flow that looks for an hour."""

import hashlib
import time
from collections.abc import Callable, Iterator
from typing import cast
from uuid import UUID

from prefect import flow
from prefect.client.orchestration import get_client
from prefect.deployments import run_deployment
from prefect.logging import get_run_logger
from prefect.runtime import flow_run
from prefect.variables import Variable

from evenkeel.flows.failures import explained
from evenkeel.flows.known import variable_name
from evenkeel.flows.recipe import Recipe, called, loaded
from evenkeel.flows.recipe_form import AnyRecipe
from evenkeel.flows.retrying import retrying
from evenkeel.flows.web import deployment_of_run
from evenkeel.infra.errors import InputError
from evenkeel.tasks.ingest.fingerprints import shard_fingerprint
from evenkeel.tasks.ingest.source import find_shards

SHORTEST, LONGEST = 5.0, 300.0
"""Seconds between two looks: the first after a change, and the most after many looks without one."""
VARIABLE = "evenkeel_seen_"


def run_name() -> str:
    """Name a run after the source that it watches."""
    return f"watch {called(flow_run.parameters['recipe'])}"


@flow(name="watch", flow_run_name=run_name)
@explained
def watch(recipe: AnyRecipe, minutes: float = 58.0, settle_seconds: float = 5.0) -> int:
    """Look for new and changed shards of a recipe's source, and start its deployment for them; return how often.

    Args:
        recipe: The file of the recipe; the deployment that is started is curate/<dataset>.
        minutes: How long this run looks; a schedule starts the next one.
        settle_seconds: A change counts once the source has stayed the same for so long: no shard is half written.
    """
    found, started = loaded(recipe), 0
    for listed in changes(lambda: listing(found), seen(found.dataset), 60 * minutes, settle_seconds, go_on=_not_paused):
        run = run_deployment(f"curate/{found.dataset}", timeout=0)
        remember_seen(found.dataset, listed)
        started += 1
        get_run_logger().info("the source has changed: started %s", getattr(run, "name", run))
    get_run_logger().info("%d changes in %g minutes", started, minutes)
    return started


def changes(
    look: Callable[[], str],
    known: str,
    seconds: float,
    settle_seconds: float,
    go_on: Callable[[], bool] = lambda: True,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[str]:
    """Yield what `look` returns whenever it differs from what was known and has stayed the same for a while.

    The pause between looks doubles from SHORTEST to LONGEST while nothing changes. Ends after `seconds`, or where
    `go_on` is False. Nothing listed ("") is no change.
    """
    ends, pause = clock() + seconds, SHORTEST
    while go_on():
        now = look()
        if now and now != known:
            sleep(settle_seconds)
            if look() == now:
                known, pause = now, SHORTEST
                yield now
            continue
        if clock() + pause > ends:
            return
        sleep(pause)
        pause = min(2 * pause, LONGEST)


def listing(recipe: Recipe) -> str:
    """Return a hash over the names and fingerprints of the shards of a source; empty where there are none."""
    try:
        shards = find_shards(recipe.source)
    except InputError:
        return ""
    lines = sorted(f"{shard.uri} {shard_fingerprint(shard)}" for shard in shards)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def seen(dataset: str) -> str:
    """Return the listing that the last run was started for; empty where none was."""
    return str(cast(object, retrying(Variable.get, variable_name(VARIABLE, dataset))) or "")


def remember_seen(dataset: str, listed: str) -> None:
    """Keep on the server which listing a run was started for."""
    retrying(Variable.set, variable_name(VARIABLE, dataset), listed, tags=["evenkeel"], overwrite=True)


def _not_paused() -> bool:
    """Return whether the deployment of this run is still on."""
    if (deployment := deployment_of_run()) is None:
        return True
    return retrying(_is_on, deployment)


def _is_on(deployment: UUID) -> bool:
    with get_client(sync_client=True) as client:
        return not client.read_deployment(deployment).paused
