"""Logs as JSON lines, for machines that collect them: set by infra/prefect.env for servers, workers and runs."""

from datetime import datetime

from pythonjsonlogger.core import LogData
from pythonjsonlogger.json import JsonFormatter

NAMES = {
    "levelname": "level",
    "flow_run_name": "run",
    "flow_run_id": "run_id",
    "flow_name": "flow",
    "task_run_name": "step",
    "name": "logger",
    "message": "message",
    "exc_info": "error",
}


class JsonLines(JsonFormatter):
    """Writes each log record as one JSON object on a line of its own.

    The fields are time, level, logger and message; within a run also run, run_id and flow, within a step also step; and
    error, the traceback, where an exception was logged.
    """

    def __init__(self, *_: object, **__: object) -> None:
        """Make the formatter; the format string that Prefect's configuration passes does not apply to JSON."""
        super().__init__(list(NAMES), rename_fields=NAMES, timestamp="time", json_ensure_ascii=False)

    def process_log_record(self, log_data: LogData) -> LogData:
        """Return our fields that have a value, in our order, the time in milliseconds."""
        time: datetime = log_data["time"]
        known = {name: str(log_data[name]) for name in NAMES.values() if log_data.get(name) or name == "message"}
        return {"time": time.isoformat(timespec="milliseconds"), **known}
