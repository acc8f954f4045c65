"""A killed run goes on from the last finished step: the same selection, one version, nothing half visible."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from flows.recipe import parse
from infra.environment import set_defaults
from tasks.publish.versions import list_versions
from tests.conftest import Served
from tests.flows.conftest import write_shards

STEPS = ("ingest", "embed", "dedup", "cluster", "sample", "stage", "measure", "validate", "report")
CODE = "import sys; from flows.curate import curate; from flows.recipe import load; curate(load(sys.argv[1]))"


class Curation:
    """Runs of one recipe in processes of their own, against a real server."""

    def __init__(self, served: Served, pool: Path, folder: Path, **changes: Any) -> None:
        self.served, self.folder = served, folder
        self.document = {
            "dataset": "notes",
            "source": {"uri": str(pool), "rows_per_block": 1024},
            "dedup": {"near": None},
            "clustering": {"levels": [40, 8], "iterations": 5, "resampling": 2},
            "sampling": {"target": 240},
            "destination": {"uri": str(folder / "published")},
            "workspace": str(folder / "workspace"),
            "compute": "inline",
            **changes,
        }
        folder.mkdir(exist_ok=True)
        (folder / "recipe.json").write_text(json.dumps(self.document))

    def start(self) -> subprocess.Popen[bytes]:
        set_defaults()
        environment = os.environ | {"PREFECT_API_URL": self.served.addresses["api"]}
        command = [sys.executable, "-c", CODE, str(self.folder / "recipe.json")]
        with (self.folder / "log").open("ab") as log:
            return subprocess.Popen(command, cwd=self.served.project, env=environment, stdout=log, stderr=log)

    def finish(self) -> None:
        code = self.start().wait(timeout=240)
        assert code == 0, (self.folder / "log").read_text()[-4000:]

    def kill_when(self, ready: Callable[[psutil.Process], bool]) -> int:
        """Start a run, SIGKILL it as soon as `ready`, and return its exit code (0: it was over before)."""
        process = self.start()
        watched = psutil.Process(process.pid)
        while process.poll() is None and not ready(watched):
            time.sleep(0.002)
        process.kill()
        return process.wait()

    def finished(self) -> set[str]:
        return {path.parent.parent.name for path in (self.folder / "workspace" / "notes").glob("*/*/done.json")}

    def began(self, step: str) -> bool:
        return any((self.folder / "workspace" / "notes" / step).glob("*/*"))

    def selection(self) -> str:
        [path] = (self.folder / "workspace" / "notes" / "sample").glob("*/selection.parquet")
        return hashlib.sha256(path.read_bytes()).hexdigest()

    def versions(self) -> list[int]:
        recipe = parse(self.document)
        return [each.version for each in list_versions(recipe.destination, recipe.dataset, recipe.workspace)]


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_shards(tmp_path_factory.mktemp("pool"), rows=6000)


@pytest.fixture(scope="module")
def undisturbed(served: Served, pool: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The selection of a run that nobody killed."""
    curation = Curation(served, pool, tmp_path_factory.mktemp("undisturbed"))
    curation.finish()
    assert curation.versions() == [1]
    return curation.selection()


@pytest.mark.slow
def test_flow_killed_while_clustering_goes_on(served: Served, pool: Path, undisturbed: str, tmp_path: Path) -> None:
    curation = Curation(served, pool, tmp_path)
    assert curation.kill_when(lambda _: curation.began("cluster")) == -signal.SIGKILL
    assert {"ingest", "embed", "dedup"} <= curation.finished()
    assert curation.versions() == []
    kept = {path: path.stat().st_mtime_ns for path in tmp_path.glob("workspace/notes/*/*/done.json")}
    curation.finish()
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert curation.selection() == undisturbed
    assert curation.versions() == [1]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_flow_killed_in_every_step_publishes_once(served: Served, pool: Path, undisturbed: str, tmp_path: Path) -> None:
    curation = Curation(served, pool, tmp_path)
    for step in STEPS:
        curation.kill_when(lambda _, step=step: curation.began(step))  # type: ignore[misc]
        assert len(curation.versions()) <= 1
    curation.kill_when(lambda _: any((tmp_path / "published").rglob("*.parquet")))
    curation.finish()
    curation.finish()
    assert curation.selection() == undisturbed
    assert curation.versions() == [1]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_killed_dask_worker_is_replaced(served: Served, pool: Path, undisturbed: str, tmp_path: Path) -> None:
    cluster = tmp_path / "two.yaml"
    cluster.write_text("kind: local\nworkers: 2\nmemory: 1GiB\ninline_below: 1B\n")
    curation = Curation(served, pool, tmp_path, compute=str(cluster))
    process, killed = curation.start(), 0
    watched = psutil.Process(process.pid)
    while process.poll() is None and not killed:
        workers = [child for child in watched.children(recursive=True) if "spawn_main" in " ".join(child.cmdline())]
        if len(workers) >= 2 and curation.began("ingest"):
            workers[-1].kill()
            killed += 1
        time.sleep(0.02)
    assert process.wait(timeout=400) == 0, (tmp_path / "log").read_text()[-4000:]
    assert killed == 1
    assert curation.selection() == undisturbed
    assert curation.versions() == [1]
