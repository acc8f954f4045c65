"""Show artifacts on the page of a run; a server that restarts is waited for, one that stays away costs no run."""

import logging
from collections.abc import Callable

import httpx
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_chain, wait_fixed

PAUSES = (1.0, 5.0, 15.0, 30.0)
LOG = logging.getLogger("prefect.flow_runs")


def artifact_key(dataset: str, what: str) -> str:
    """Return the key that names an artifact of a dataset: Prefect allows small letters, digits and dashes."""
    return f"{dataset}-{what}".replace("_", "-").replace(" ", "-")


def show(create: Callable[..., object], *args: object, **options: object) -> None:
    """Call one of Prefect's `create_..._artifact`; where the server stays away for a minute, say so and go on."""
    patience = Retrying(
        retry=retry_if_exception_type((httpx.HTTPError, OSError)),
        wait=wait_chain(*map(wait_fixed, PAUSES)),
        stop=stop_after_attempt(len(PAUSES) + 1),
        reraise=True,
    )
    try:
        patience(create, *args, **options)
    except (httpx.HTTPError, OSError) as error:
        LOG.warning("an artifact could not be shown, the server does not answer: %s", error)
