"""Many small shards take no more open files than a process may have, from the source to the card."""

import json
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.flows.conftest import write_shards

OPEN_FILES = 100


@pytest.mark.slow
def test_more_shards_than_files_that_may_be_open(tmp_path: Path, document: dict[str, Any]) -> None:
    pool = write_shards(tmp_path / "many", rows=900, shards=300)
    document |= {"dedup": {}, "source": {"uri": str(pool), "groups": ["topic"]}}
    recipe = tmp_path / "many.json"
    recipe.write_text(json.dumps(document))
    done = subprocess.run(
        [sys.executable, "-m", "tests.contributing.steps", str(recipe), "report"],
        cwd=Path(__file__).parents[2],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (OPEN_FILES, OPEN_FILES)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    steps = json.loads(done.stdout)
    assert steps["ingest"]["counts"]["shards"] == 300
    assert steps["sample"]["counts"]["kept"] == 240
