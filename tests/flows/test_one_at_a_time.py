"""Runs of one dataset take turns, whoever starts them and from wherever; a killed one does not hold up the others."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from prefect.client.schemas.objects import State
from prefect.settings import PREFECT_API_URL

from evenkeel.flows.curate import curate
from evenkeel.flows.recipe import parse
from evenkeel.infra.lease import held
from tests.flows.cli.calls import invoke


@pytest.mark.usefixtures("prefect_server")
def test_a_scheduled_run_beside_another_is_dropped_and_says_why(document: dict[str, Any]) -> None:
    with held(f"{document['destination']['uri']}/.notes.lock", "notes"):
        state: State[Any] = curate(parse(document), if_busy="drop", return_state=True)
        assert state.is_cancelled()
        assert state.message is not None
        assert f"dropped: another run of notes is going on (process {os.getpid()} on " in state.message
    assert not Path(document["workspace"]).exists()


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.usefixtures("prefect_server")
def test_of_three_runs_at_once_one_is_killed_and_the_others_end_well(document: dict[str, Any], tmp_path: Path) -> None:
    runs, logs = [], [tmp_path / f"log-{number}" for number in range(3)]
    for number, log in enumerate(logs):
        recipe = tmp_path / f"recipe-{number}.yaml"
        recipe.write_text(json.dumps(document | {"workspace": str(tmp_path / f"workspace-{number}")}))
        command = [sys.executable, "-m", "evenkeel.flows.cli.main", "run", str(recipe)]
        own = os.environ | {"PREFECT_API_URL": str(PREFECT_API_URL.value())}
        with log.open("wb") as out:
            runs.append(subprocess.Popen(command, stdout=out, stderr=out, env=own))
    waiting = "waits for another run of notes: process "
    deadline = time.monotonic() + 600
    while sum(waiting in log.read_text() for log in logs) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    holder = json.loads(Path(document["destination"]["uri"], ".notes.lock").read_text())["process"]
    first = next(run for run in runs if run.pid == holder)
    first.kill()
    codes = {run.pid: run.wait(600) for run in runs}
    said = "".join(log.read_text() for log in logs)
    assert codes == {run.pid: -9 if run is first else 0 for run in runs}, said
    assert (said.count("notes v1 is published"), said.count("notes is unchanged")) == (1, 1)
    code, output = invoke("versions", tmp_path / "recipe-0.yaml", "--json")
    assert (code, [version["version"] for version in json.loads(output)]) == (0, [1])
