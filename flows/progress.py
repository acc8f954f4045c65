"""Report how far a step is: as an artifact in the Prefect UI, and to a listener in this process."""

import time
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from uuid import UUID

from evenkeel.infra.errors import EvenkeelError

Listener = Callable[[str, float, str], None]
LISTENER: ContextVar[Listener | None] = ContextVar("listener", default=None)
Ended = Callable[[str, int, int, bool, dict[str, int]], None]
ENDED: ContextVar[Ended | None] = ContextVar("ended", default=None)
"""Is told of each step that has ended: its name, when it began and ended (ns), whether it was cached, its counts."""
SECONDS_BETWEEN_UPDATES = 5.0  # an update asks the server: a twentieth of a second of processor time


@dataclass
class StepProgress:
    """Reports the progress of the step `name`: to the listener at once, to the Prefect UI every five seconds."""

    name: str
    message: str = ""
    _artifact: UUID | None = None
    _updated: float = field(default_factory=time.monotonic)

    def __call__(self, done: float, message: str) -> None:
        """Report the share done in [0, 1] and one line of what is happening."""
        self.message = message
        if (listener := LISTENER.get()) is not None:
            listener(self.name, min(done, 0.999), message)
        now = time.monotonic()
        if now - self._updated < SECONDS_BETWEEN_UPDATES:
            return
        self._updated = now
        self._update_artifact(round(100 * min(max(done, 0.0), 1.0), 1), message)

    def end(self, message: str) -> None:
        """Let the ring of the step, where one is shown, end at all of it."""
        if self._artifact is not None:
            self._update_artifact(100.0, message)

    def _update_artifact(self, percent: float, message: str) -> None:
        from prefect.artifacts import create_progress_artifact, update_progress_artifact
        from prefect.context import TaskRunContext

        if TaskRunContext.get() is None:
            return
        try:
            if self._artifact is None:
                made = create_progress_artifact(percent, description=f"{self.name}: {message}")
                self._artifact = made if isinstance(made, UUID) else None
            else:
                update_progress_artifact(self._artifact, progress=percent, description=f"{self.name}: {message}")
        except EvenkeelError:
            raise
        except Exception as error:  # a progress bar is not worth a run
            from prefect.logging import get_run_logger

            get_run_logger().warning("progress could not be shown: %s", error)
