"""Artifacts of a run: worth some patience with a server that restarts, not worth the run."""

import logging
import time
from collections.abc import Callable
from typing import Any

import httpx

PAUSES = (1.0, 5.0, 15.0, 30.0)
LOG = logging.getLogger("prefect.flow_runs")


def artifact_key(dataset: str, what: str) -> str:
    """Return the key that names an artifact of a dataset: Prefect allows small letters, digits and dashes."""
    return f"{dataset}-{what}".replace("_", "-").replace(" ", "-")


def show(create: Callable[..., Any], *args: Any, **options: Any) -> None:
    """Call one of Prefect's `create_..._artifact`; where the server stays away for a minute, say so and go on."""
    for pause in (*PAUSES, None):
        try:
            create(*args, **options)
            return
        except (httpx.HTTPError, OSError) as error:
            if pause is None:
                LOG.warning("an artifact could not be shown, the server does not answer: %s", error)
                return
            time.sleep(pause)
