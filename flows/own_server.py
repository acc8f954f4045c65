"""A Prefect server of this process alone, which starts while the rest of a run is still being imported.

Prefect starts such a server itself when a flow begins, and imports the whole of its server into this process to do so:
of the time before the first step that was half. Here it is a process from the first moment, with the same settings.
"""

import atexit
import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack

import httpx
from prefect import __module_path__ as prefect_package
from prefect.settings import PREFECT_API_URL, get_current_settings, temporary_settings

from evenkeel.flows.server.serve import free_port
from evenkeel.infra.errors import ResourceError

OURS = {"PREFECT_UI_ENABLED": "0", "PREFECT__SERVER_EPHEMERAL": "1", "PREFECT__SERVER_FINAL": "1"}
APPLICATION = "prefect.server.api.server:create_app"
POLL_SECONDS = 0.05
GRACE_SECONDS = 5.0

_entered = ExitStack()  # never left: the settings hold for as long as this process lives


def start_own_server() -> Callable[[], None]:
    """Start a server that ends with this process; return what waits until it answers, to be called before a flow.

    Where settings name a server already, or forbid one of our own, nothing is started.
    """
    settings = get_current_settings()
    if settings.api.url or not settings.server.ephemeral.enabled:
        return lambda: None
    server = OwnServer(free_port())
    atexit.register(server.stop)  # what Prefect registers later, to send its last events, runs before
    _entered.enter_context(temporary_settings({PREFECT_API_URL: server.url}))
    return server.ready


class OwnServer:
    """A server on a port of this machine, being started."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}/api"
        where = ["--app-dir", str(prefect_package.parent), "--host", "127.0.0.1", "--port", str(port)]
        options = ["--factory", "--log-level", "error", "--lifespan", "on"]
        settings = get_current_settings().to_environment_variables(exclude_unset=True)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "uvicorn", APPLICATION, *where, *options], env={**os.environ, **OURS, **settings}
        )

    def ready(self) -> None:
        """Return when the server answers. Raises ResourceError where it ends, or takes longer than Prefect allows."""
        deadline = time.monotonic() + get_current_settings().server.ephemeral.startup_timeout_seconds
        with httpx.Client() as client:
            while time.monotonic() < deadline and self._process.poll() is None:
                try:
                    if client.get(f"{self.url}/health").is_success:
                        return
                except httpx.TransportError:
                    time.sleep(POLL_SECONDS)
        raise ResourceError(
            "the temporary Prefect server does not start",
            found="nothing answers" if self._process.poll() is None else f"it ended with {self._process.returncode}",
            where=self.url,
            remedy="see what --verbose says, or start one (make serve) and set PREFECT_API_URL",
        )

    def stop(self) -> None:
        """End the server."""
        self._process.terminate()
        try:
            self._process.wait(GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
