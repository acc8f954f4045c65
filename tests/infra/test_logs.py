"""Logs of servers, workers and runs are JSON lines with run, step and level."""

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
LINES = (ROOT / "infra" / "prefect.env").read_text().splitlines()
SETTINGS = [
    line.split("=", 1)
    for line in (ROOT / "infra" / "prefect.env").read_text().splitlines()
    if line[:1] not in ("", "#")
]
CODE = """
import logging
from prefect.logging.configuration import setup_logging
setup_logging()
inside = {"flow_run_name": "curate notes", "flow_run_id": "7", "flow_name": "curate", "task_run_name": "cluster"}
logging.getLogger("prefect.task_runs").warning("%d rows are [odd]", 3, extra=inside)
try:
    1 / 0
except ZeroDivisionError:
    logging.getLogger("prefect.worker").exception("no")
"""


def test_the_shared_settings_make_every_line_json(tmp_path: Path) -> None:
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")},
        **dict(SETTINGS),
        "PREFECT_HOME": str(tmp_path),
        "PREFECT_LOGGING_TO_API_ENABLED": "false",
    }
    done = subprocess.run(
        [sys.executable, "-c", CODE], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    first, second = [json.loads(line) for line in done.stderr.splitlines()]
    assert first.pop("time").endswith("+00:00")
    assert first == {
        "level": "WARNING",
        "run": "curate notes",
        "run_id": "7",
        "flow": "curate",
        "step": "cluster",
        "logger": "prefect.task_runs",
        "message": "3 rows are [odd]",
    }
    assert (second["level"], second["message"]) == ("ERROR", "no")
    assert second["error"].endswith("ZeroDivisionError: division by zero")
