"""Two published versions, and libraries of others that read them, some in processes of their own."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from evenkeel.tasks.publish.config import DestinationConfig
from evenkeel.tasks.publish.publish import PublishResult
from evenkeel.tasks.publish.table import Version
from evenkeel.tasks.versions.listing import read_version
from tests.publish.fixtures import Publish


@pytest.fixture
def result(publish_one: Publish) -> PublishResult:
    publish_one(seed=1)
    return publish_one()


@pytest.fixture
def version(result: PublishResult, destination: DestinationConfig, workspace: str) -> Version:
    return read_version(destination, "demo", result.version, workspace)


@pytest.fixture
def quiet_hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Keep Hugging Face's libraries off the network and out of the home folder."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))


def elsewhere(library: str, code: str, *arguments: str) -> list[Any]:
    """Return the JSON lines that `code` prints in a process of its own: these libraries leave files open.

    EVENKEEL_READERS names a folder of environments for those that do not go with ours, each under the library's name.
    """
    python = Path(os.environ.get("EVENKEEL_READERS", "/none")) / library / "bin" / "python"
    if not python.exists():
        pytest.importorskip(library)
        python = Path(sys.executable)
    command = [str(python), "-c", f"import json, sys, {library}\n{code}", *arguments]
    return [json.loads(line) for line in subprocess.run(command, stdout=-1, check=True).stdout.splitlines()]
