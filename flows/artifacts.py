"""Show artifacts on the page of a run; a server that restarts is waited for, one that stays away costs no run."""

import logging
from collections.abc import Callable

from evenkeel.flows.retrying import AWAY, retrying

LOG = logging.getLogger("prefect.flow_runs")


def artifact_key(dataset: str, what: str) -> str:
    """Return the key that names an artifact of a dataset: Prefect allows small letters, digits and dashes."""
    return f"{dataset}-{what}".replace("_", "-").replace(" ", "-")


def show(create: Callable[..., object], *args: object, **options: object) -> None:
    """Call one of Prefect's `create_..._artifact`; where the server stays away for a minute, say so and go on."""
    try:
        retrying(create, *args, **options)
    except AWAY as error:
        LOG.warning("an artifact could not be shown, the server does not answer: %s", error)
