"""The how-to pages do what they say: each is followed to the letter in a scratch package."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from tests.contributing.scratch import Scratch

SIZES = (40, 160, 360)


@pytest.fixture
def recipe(tmp_path: Path) -> dict[str, Any]:
    """A recipe for a small pool of three clusters of unlike sizes."""
    rng = np.random.default_rng(0)
    cluster = np.repeat(np.arange(len(SIZES)), SIZES)
    vectors = (10.0 * np.eye(3)[cluster] + rng.normal(0, 0.1, (len(cluster), 3))).astype(np.float32)
    table = pa.table({"id": [f"row-{row}" for row in range(len(cluster))], "vector": list(vectors)})
    (tmp_path / "pool").mkdir()
    pq.write_table(table, tmp_path / "pool" / "part.parquet")
    return {
        "dataset": "scratch",
        "source": {"uri": str(tmp_path / "pool")},
        "clustering": {"levels": [3]},
        "sampling": {"target": 60, "strategy": "flat"},
        "destination": {"uri": str(tmp_path / "published")},
        "workspace": str(tmp_path / "workspace"),
    }


def run(scratch: Scratch, recipe: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the references of all steps of a recipe that holds what the page says."""
    path = scratch.folder / "recipe.yaml"
    path.write_text(yaml.safe_dump({**recipe, **scratch.recipe}))
    found: dict[str, dict[str, Any]] = json.loads(scratch.python("-m", "tests.contributing.steps", str(path)))
    return found


def changed(first: dict[str, dict[str, Any]], second: dict[str, dict[str, Any]]) -> set[str]:
    """Return the steps whose keys differ."""
    return {name for name in first if first[name]["key"] != second[name]["key"]}


def test_strategy(tmp_path: Path, recipe: dict[str, Any]) -> None:
    scratch = Scratch("strategy", tmp_path / "site")
    scratch.python("-m", "pytest", "-q", "-p", "no:cacheprovider", "site/test_by_power.py")

    done = run(scratch, recipe)
    quotas = pq.read_table(Path(done["sample"]["uri"]) / "quotas.parquet").sort_by("size")
    assert quotas["size"].to_pylist() == list(SIZES)
    assert quotas["quota"].to_pylist() == [10, 20, 30]
    assert done["sample"]["facts"]["strategy"] == "by-power"

    scratch.install("1.1")
    assert changed(done, run(scratch, recipe)) == {"sample", "stage"}


def test_strategy_in_our_tree(tmp_path: Path) -> None:
    scratch = Scratch("strategy", tmp_path / "site")
    (tmp_path / "ours").mkdir()
    (tmp_path / "ours" / "by_power.py").write_text(scratch.files["by_power.py"])
    code = (
        "import evenkeel.tasks.sample.strategies as folder\n"
        "folder.__path__.append('ours')\n"
        "from evenkeel.tasks.sample.config import SamplingConfig\n"
        "from evenkeel.flows.recipe_docs import table\n"
        "print(SamplingConfig.model_validate({'strategy': 'by-power', 'target': 5}).strategy)\n"
        "print(table())\n"
    )
    found = scratch.python("-c", code, site=False)
    assert found.startswith("name='by-power' power=0.5")
    assert "| `sampling.strategy[by-power].power` | float | `0.5` | 0 = equal quotas" in found
