"""Targets that cannot be meant are named by `plan` or `run` with a remedy, and odd ones that can be meant work."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from tests.flows.cli.calls import invoke

ROWS, D = 240, 4


def pool(folder: Path) -> np.ndarray:
    """Write rows with texts and vectors of three kinds, and return the vectors."""
    rng = np.random.default_rng(0)
    kind = np.arange(ROWS) % 3
    words = np.array([[f"{a}{b}o" for b in "bcdfghklmnprst"] for a in ("wa", "xe", "yi")])
    x = np.asarray(np.eye(3, D)[kind] * 5 + rng.normal(0, 0.5, (ROWS, D)), np.float32)
    texts = [" ".join(rng.choice(words[one], 8)) for one in kind]
    folder.mkdir()
    table = {"id": [f"r{row}" for row in range(ROWS)], "text": texts, "vector": list(x)}
    pq.write_table(pa.table(table), folder / "rows.parquet")
    return x


def recipe(folder: Path, target: dict[str, Any], by: str) -> Path:
    document = {
        "dataset": "aimed",
        "source": {"uri": str(folder / "pool"), "id": "id", "text": "text", "vector": "vector"},
        "clustering": {"levels": [12]},
        "compute": "inline",
        "target_set": target,
        "sampling": {"strategy": {"name": "toward", "by": by}, "target": 30},
        "destination": {"uri": str(folder / "published")},
        "workspace": str(folder / "workspace"),
    }
    file = folder / "recipe.yaml"
    file.write_text(yaml.safe_dump(document))
    return file


def tried(folder: Path, target: dict[str, Any], by: str, *verb: str) -> tuple[int, str]:
    """Return exit code and output of a verb on a recipe with that target; its last words are no traceback."""
    code, output = invoke(verb[0], recipe(folder, target, by), *verb[1:])
    assert "Traceback" not in output[-300:], output
    return code, output


@pytest.mark.long
def test_bad_targets_are_named_before_the_work(tmp_path: Path) -> None:
    x = pool(tmp_path / "pool")
    np.save(tmp_path / "wide.npy", np.ones((4, D + 1), np.float32))
    np.save(tmp_path / "none.npy", np.empty((0, D), np.float32))
    np.save(tmp_path / "nan.npy", np.where(np.arange(20)[:, None] == 7, np.nan, x[:20] + 0.1).astype(np.float32))
    (tmp_path / "empty.txt").write_text("\n \n")
    (tmp_path / "column.jsonl").write_text(json.dumps({"question": "wabo"}) + "\n")
    wrong = [
        ({"uri": str(tmp_path / "empty.txt")}, "ngrams", "the target set is empty"),
        ({"uri": str(tmp_path / "none.npy")}, "clusters", "the target set is empty"),
        ({"uri": str(tmp_path / "wide.npy")}, "clusters", "not of the pool's dimension"),
        ({"uri": str(tmp_path / "nan.npy")}, "classifier", "row 7"),
        ({"uri": str(tmp_path / "column.jsonl")}, "ngrams", "the target set has no column 'text'"),
        ({"uri": str(tmp_path / "gone.npy")}, "transport", "is not there"),
        ({}, "clusters", "needs uri"),
    ]
    for target, by, message in wrong:
        code, output = tried(tmp_path, target, by, "plan", "--no-probe")
        assert code in (1, 2), output
        assert message in output


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.usefixtures("prefect_server")
def test_odd_targets_are_named_or_work(tmp_path: Path) -> None:
    x = pool(tmp_path / "pool")
    noise = np.random.default_rng(1).normal(0, 0.3, (5 * ROWS, D))
    np.save(tmp_path / "one.npy", x[:1] + 0.1)
    np.save(tmp_path / "pool.npy", x)
    np.save(tmp_path / "large.npy", (np.repeat(x, 5, axis=0) + noise).astype(np.float32))
    (tmp_path / "other.txt").write_text("ничего общего здесь\n")
    late = [
        ({"uri": str(tmp_path / "other.txt")}, "ngrams", "no word in common"),
        ({"uri": str(tmp_path / "pool.npy")}, "clusters", "240 excluded"),
    ]
    for target, by, message in late:
        code, output = tried(tmp_path, target, by, "run")
        assert code == 1, output
        assert message in output
    for name in ("one", "large"):
        code, output = tried(tmp_path, {"uri": str(tmp_path / f"{name}.npy"), "leak": "allowed"}, "clusters", "run")
        assert code == 0, output
