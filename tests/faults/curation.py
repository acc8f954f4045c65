"""Runs of one recipe in processes of their own, against a real server, and whoever disturbs them."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from evenkeel.flows.recipe import parse
from evenkeel.infra import storage
from evenkeel.infra.environment import set_defaults
from evenkeel.tasks.versions.listing import list_versions

STEPS = ("ingest", "embed", "dedup", "cluster", "sample", "stage", "measure", "validate", "report")
CODE = "import sys; from evenkeel.flows import curate, recipe; curate.curate(recipe.load(sys.argv[1]))"


class Curation:
    """Runs of one recipe over a pool; `place` is where its workspace and versions lie (default: `folder`)."""

    def __init__(self, api: str, project: Path, pool: str, folder: Path, place: str = "", **changes: Any) -> None:
        self.api, self.project, self.folder = api, project, folder
        place = place or str(folder)
        self.document = {
            "dataset": "notes",
            "source": {"uri": pool, "rows_per_block": 1024},
            "dedup": {"near": None},
            "clustering": {"levels": [40, 8], "iterations": 5, "resampling": 2},
            "sampling": {"target": 240},
            "destination": {"uri": storage.join(place, "published")},
            "workspace": storage.join(place, "workspace"),
            "compute": "inline",
            **changes,
        }
        folder.mkdir(exist_ok=True)
        (folder / "recipe.json").write_text(json.dumps(self.document))

    def start(self) -> subprocess.Popen[bytes]:
        set_defaults()
        environment = os.environ | {"PREFECT_API_URL": self.api}
        command = [sys.executable, "-c", CODE, str(self.folder / "recipe.json")]
        with (self.folder / "log").open("ab") as log:
            return subprocess.Popen(command, cwd=self.project, env=environment, stdout=log, stderr=log)

    def finish(self) -> None:
        code = self.start().wait(timeout=1200)
        assert code == 0, self.log()[-4000:]

    def log(self) -> str:
        return (self.folder / "log").read_text()

    def kill_when(self, ready: Callable[[psutil.Process], bool]) -> int:
        """Start a run, SIGKILL it as soon as `ready`, and return its exit code (0: it was over before)."""
        process = self.start()
        watched = psutil.Process(process.pid)
        while process.poll() is None and not ready(watched):
            time.sleep(0.002)
        process.kill()
        return process.wait()

    def disturb_each_step(self, disturb: Callable[[psutil.Process], None]) -> list[str]:
        """Run to the end, calling `disturb` once as each step begins; start again what a disturbance has ended.

        Returns the steps in which it happened. Nothing may be visible before the last of them.
        """
        disturbed: list[str] = []
        process, again = self.start(), 0
        for step in STEPS:
            while not self.began(step):
                if process.poll() is not None:
                    again += 1
                    assert again <= len(STEPS), self.log()[-4000:]
                    process = self.start()
                time.sleep(0.01)
            if process.poll() is None:
                disturb(psutil.Process(process.pid))
                disturbed.append(step)
                assert len(self.versions()) <= 1
        process.wait(timeout=1200)
        return disturbed

    def forget_from(self, step: str) -> None:
        """Remove the outputs of `step` and all later ones, and whatever is published: as if they had never run."""
        for name in STEPS[STEPS.index(step) :]:
            shutil.rmtree(self.steps / name, ignore_errors=True)
        shutil.rmtree(self.folder / "published", ignore_errors=True)

    def began(self, step: str) -> bool:
        return bool(self.files(step)) or (self.is_local and any((self.steps / step).glob("*/*")))

    def finished(self) -> set[str]:
        return {path.split("/")[-3] for path in self.files() if path.endswith("/done.json")}

    def files(self, *below: str) -> list[str]:
        return storage.list_files(storage.join(self.document["workspace"], "notes", *below))

    @property
    def is_local(self) -> bool:
        return storage.is_local(self.document["workspace"])

    @property
    def steps(self) -> Path:
        return Path(self.document["workspace"]) / "notes"

    def selection(self) -> str:
        [path] = [path for path in self.files("sample") if path.endswith("/selection.parquet")]
        return hashlib.sha256(storage.read_bytes(path)).hexdigest()

    def versions(self) -> list[int]:
        recipe = parse(self.document)
        return [each.version for each in list_versions(recipe.destination, recipe.dataset, recipe.workspace)]


def killed(code: int) -> bool:
    """Tell whether an exit code is that of a process that SIGKILL ended."""
    return code == -signal.SIGKILL
