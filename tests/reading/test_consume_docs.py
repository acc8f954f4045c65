"""Every block of docs/CONSUME.md runs as it stands and reads the whole version; its commands do what they say."""

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas
import pytest

from evenkeel.tasks.publish.config import DestinationConfig
from tests.flows.cli.calls import invoke
from tests.publish.fixtures import Publish

PAGE = (Path(__file__).parent.parent.parent / "docs" / "CONSUME.md").read_text()
STORE = "From S3, or a store with an endpoint"
"""Run by tests/s3/test_consume_docs.py."""
BLOCKS = re.findall(r"^## (.+?)$|^```python\n(.+?)^```", PAGE, re.MULTILINE | re.DOTALL)


def blocks() -> Iterable[Any]:
    title, count = "", 0
    for heading, code in BLOCKS:
        title, count = (heading, 0) if heading else (title, count + 1)
        if code and title != STORE:
            yield pytest.param(code, id=f"{title}-{count}")


@pytest.mark.long
@pytest.mark.parametrize("code", list(blocks()))
def test_a_block_runs(
    code: str, publish_one: Publish, workspace: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "torch" in code:
        pytest.importorskip("torch")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    clusters = pandas.DataFrame({"level": [1, 2, 2], "id": [0, 0, 1], "name": ["cat, dog", "animal", "plant"]})
    clusters.to_parquet(tmp_path / "clusters.parquet")
    result = publish_one(extras={"clusters.parquet": str(tmp_path / "clusters.parquet")})
    names: dict[str, Any] = {
        "data": result.data,
        "workspace": workspace,
        "dataset": result.location.partition("/versions/")[0],
    }
    exec(compile(code, "docs/CONSUME.md", "exec"), names)
    if "catalog" in names:
        names["catalog"].engine.dispose()
    if "dropped" in names:
        gone = pandas.read_parquet(f"{result.data}/../fates")
        assert len(names["dropped"]) == (gone["fate"] == "deduplicated").sum() > 0
        return
    found: Any = names.get("rows", names.get("frame", names.get("batches")))
    if "frame" in names:
        assert len(found) == 200
    elif "batches" in names:
        assert sum(len(batch["ek_id"]) for batch in found) >= 200
    elif "datasets" in code:
        assert len({row["ek_id"] for row in found}) == 200
    elif "duckdb" in code:
        assert sum(count for _, count in found) == 200
    else:
        assert 0 < len(found) <= 200


@pytest.mark.long
def test_the_commands_run(publish_one: Publish, destination: DestinationConfig, workspace: str, tmp_path: Path) -> None:
    publish_one(seed=1)
    publish_one()
    recipe = {
        "dataset": "demo",
        "source": {"uri": "pool/*.parquet"},
        "sampling": {"target": 100},
        "workspace": workspace,
        "destination": {"uri": destination.uri},
    }
    (tmp_path / "recipe.yaml").write_text(json.dumps(recipe))
    places = {"RECIPE": str(tmp_path / "recipe.yaml"), "FOLDER": str(tmp_path / "out")}
    lines = re.findall(r"^\$ evenkeel ([^#\n]+)", PAGE, re.MULTILINE)
    assert {line.split()[0] for line in lines} >= {"export", "versions", "verify", "tag", "diff"}
    for line in lines:
        code, output = invoke(*(places.get(word, word) for word in line.split()))
        assert code == 0, output
    assert list((tmp_path / "out").glob("*.jsonl.zst"))


def test_every_reader_is_there() -> None:
    titles = {heading for heading, _ in BLOCKS if heading}
    assert {"pandas", "Polars", "DuckDB", "PyIceberg", "Dask", "Hugging Face datasets", "PyTorch", "Spark"} <= titles
