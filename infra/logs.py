"""Logs as JSON lines, for machines that collect them: set by infra/prefect.env for servers, workers and runs."""

import json
import logging
from datetime import UTC, datetime
from typing import Any

FIELDS = {"run": "flow_run_name", "run_id": "flow_run_id", "flow": "flow_name", "step": "task_run_name"}


class JsonLines(logging.Formatter):
    """One JSON object a line: time, level, logger, message; run and step inside of them; error after one."""

    def __init__(self, *_: Any, **__: Any) -> None:
        super().__init__()  # Prefect's configuration hands a format over, which has no meaning here

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record."""
        entry = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            **{name: str(getattr(record, source)) for name, source in FIELDS.items() if getattr(record, source, None)},
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            entry["error"] = self.formatException(record.exc_info)
        return json.dumps(entry, ensure_ascii=False)
