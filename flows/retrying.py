"""Ask a Prefect server that may be restarting."""

from collections.abc import Callable
from typing import ParamSpec, TypeVar

import httpx
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_chain, wait_fixed

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")
PAUSES = (1.0, 5.0, 15.0, 30.0)
AWAY = (httpx.HTTPError, OSError)
"""What is raised where a server does not answer."""


def retrying(call: Callable[Parameters, Result], *args: Parameters.args, **options: Parameters.kwargs) -> Result:
    """Call something that asks the server, again where it does not answer, for a minute; then raise what it raised.

    Prefect's own client tries again only where it has been answered once: a new one does not.
    """
    patience = Retrying(
        retry=retry_if_exception_type(AWAY),
        wait=wait_chain(*map(wait_fixed, PAUSES)),
        stop=stop_after_attempt(len(PAUSES) + 1),
        reraise=True,
    )
    return patience(call, *args, **options)
