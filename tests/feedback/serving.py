"""The loop of a mixture on a server of its own: the deployments of `prefect.yaml` as written, for a small recipe."""

import json
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from evenkeel.flows.server import serve
from evenkeel.flows.server.automations import SILENCE_SETTING
from evenkeel.flows.server.project import ROOT
from evenkeel.infra.ports import free_port
from tests.flows.conftest import write_shards
from tests.served import Served


def loop_document(folder: Path, rounds: int, trials: int) -> dict[str, Any]:
    """Return a recipe over 600 rows of twelve topics, which are written, that keeps everything in a folder."""
    write_shards(folder / "pool", rows=600, shards=1)
    return {
        "dataset": "notes",
        "source": {"uri": str(folder / "pool"), "groups": ["topic"]},
        "dedup": {"near": None},
        "clustering": {"levels": [20], "iterations": 3, "resampling": 1},
        "sampling": {"strategy": "random", "target": 200},
        "mixture": {
            "domains": "group.topic",
            "rule": "exponentiated",
            "metric": "balanced_accuracy",
            "trials": {"rounds": rounds, "per_round": trials, "rows": 60},
        },
        "destination": {"uri": str(folder / "published")},
        "workspace": str(folder / "workspace"),
        "compute": "inline",
    }


@contextmanager
def served_loop(folder: Path, document: dict[str, Any], deployments: Collection[str]) -> Iterator[Served]:
    """Start a server and a worker with some of the deployments, for one recipe; stop them afterwards."""
    (folder / "recipe.yaml").write_text(json.dumps(document))
    written = (ROOT / "prefect.yaml").read_text().replace("dataset.docstrings-mixture", "dataset.notes")
    written = written.replace("{file: docstrings-mixture,", f"{{file: {folder / 'recipe.yaml'},")
    project, home = folder / "project", folder / "home"
    project.mkdir()
    found = [each for each in yaml.safe_load(written)["deployments"] if each["name"] in deployments]
    (project / "prefect.yaml").write_text(yaml.safe_dump({"deployments": found}))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(SILENCE_SETTING, "75")
        served = Served(home, project, serve.up(home, port=free_port(), project=project))
    try:
        yield served
    finally:
        served.api.close()
        serve.down(home)
