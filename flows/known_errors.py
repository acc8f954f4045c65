"""Errors whose reason is known are logged by Prefect as what they say, without a traceback."""

import logging

from evenkeel.infra.errors import EvenkeelError

TASKS = logging.getLogger("prefect.task_runs")


class _SayOnly(logging.Filter):
    """Takes the traceback of an EvenkeelError from a record of the log, and its name in code from the message."""

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, EvenkeelError):
            record.msg, record.args = "%s: %s", (type(error).__name__, str(error))
            record.exc_info, record.exc_text = None, None
        return True


_SAY_ONLY = _SayOnly()


def without_tracebacks() -> None:
    """Let what Prefect logs of tasks in this process be without tracebacks of errors whose reason is known."""
    TASKS.addFilter(_SAY_ONLY)
