"""A Prefect server of this process alone, which starts while the rest of a run is still being imported.

Prefect starts such a server itself when a flow begins, and imports the whole of its server into this process to do so:
of the time before the first step that was half. Here it is a process from the first moment, with the same settings.
"""

import atexit
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from importlib import import_module

from evenkeel.infra.errors import ResourceError
from evenkeel.infra.imports import without_collector
from evenkeel.infra.ports import free_port

OURS = {"PREFECT_UI_ENABLED": "0", "PREFECT__SERVER_EPHEMERAL": "1", "PREFECT__SERVER_FINAL": "1"}
PROCESS = "evenkeel.flows.own_server_process"
POLL_SECONDS = 0.05
GRACE_SECONDS = 5.0

_entered = ExitStack()  # never left: the settings hold for as long as this process lives


def wanted() -> bool:
    """Tell whether Prefect's settings name no server and allow one of our own."""
    from prefect.settings import get_current_settings

    settings = get_current_settings()
    return not settings.api.url and settings.server.ephemeral.enabled


def start_own_server(*, quiet: bool = False, meanwhile: Iterable[str] = ()) -> Callable[[], None]:
    """Start a server that ends with this process; return what waits until it answers, to be called before a flow.

    The server is begun before Prefect is imported here, so that both go on at once. Where settings name a server
    already, or forbid one of our own, none is left. quiet: what the server writes on the terminal is not shown, such as
    the events that it drops when it is ended. meanwhile: modules that the flow imports at some time; they are imported
    as long as nothing else is to do but to wait.
    """
    if os.environ.get("PREFECT_API_URL") or ("prefect" in sys.modules and not wanted()):
        return lambda: None
    server = OwnServer(free_port(), quiet=quiet)
    atexit.register(server.stop)  # what Prefect registers later, to send its last events, runs before

    def ready() -> None:
        if not wanted():
            server.stop()
            return
        server.ready(meanwhile)
        from prefect.settings import PREFECT_API_URL, temporary_settings

        _entered.enter_context(temporary_settings({PREFECT_API_URL: server.url}))

    return ready


class OwnServer:
    """A server on a port of this machine, being started."""

    def __init__(self, port: int, *, quiet: bool = False) -> None:
        self.url = f"http://127.0.0.1:{port}/api"
        settings: dict[str, str] = {}
        if "prefect" in sys.modules:
            from prefect.settings import get_current_settings

            settings = get_current_settings().to_environment_variables(exclude_unset=True)
        written = subprocess.DEVNULL if quiet else None
        self._process = subprocess.Popen(
            [sys.executable, "-m", PROCESS, str(port)],
            env={**os.environ, **OURS, **settings},
            stdout=written,
            stderr=written,
        )

    def ready(self, meanwhile: Iterable[str] = ()) -> None:
        """Return when the server answers; import the modules `meanwhile`, one after another, as long as it does not.

        Raises ResourceError where the server ends, or takes longer than Prefect allows.
        """
        import httpx
        from prefect.settings import get_current_settings

        later = iter(meanwhile)
        deadline = time.monotonic() + get_current_settings().server.ephemeral.startup_timeout_seconds
        with httpx.Client() as client:
            while time.monotonic() < deadline and self._process.poll() is None:
                try:
                    if client.get(f"{self.url}/health").is_success:
                        return
                except httpx.TransportError:
                    if (module := next(later, None)) is None:
                        time.sleep(POLL_SECONDS)
                        continue
                    with without_collector():
                        import_module(module)
        raise ResourceError(
            "the temporary Prefect server does not start",
            found="nothing answers" if self._process.poll() is None else f"it ended with {self._process.returncode}",
            where=self.url,
            remedy="see what --verbose says, or start one (evenkeel serve) and set PREFECT_API_URL",
        )

    def stop(self) -> None:
        """End the server."""
        self._process.terminate()
        try:
            self._process.wait(GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
