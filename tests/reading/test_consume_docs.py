"""Every block of docs/CONSUME.md runs as it stands and reads the whole version."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas
import pytest

from tests.publish.fixtures import Publish

PAGE = (Path(__file__).parent.parent.parent / "docs" / "CONSUME.md").read_text()
BLOCKS = re.findall(r"^## (.+?)$|^```python\n(.+?)^```", PAGE, re.MULTILINE | re.DOTALL)


def blocks() -> Iterable[Any]:
    title, count = "", 0
    for heading, code in BLOCKS:
        title, count = (heading, 0) if heading else (title, count + 1)
        if code:
            yield pytest.param(code, id=f"{title}-{count}")


@pytest.mark.long
@pytest.mark.parametrize("code", list(blocks()))
def test_a_block_runs(code: str, publish_one: Publish, workspace: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if "torch" in code:
        pytest.importorskip("torch")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    result = publish_one()
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


def test_every_reader_is_there() -> None:
    titles = {heading for heading, _ in BLOCKS if heading}
    assert {"pandas", "Polars", "DuckDB", "PyIceberg", "Dask", "Hugging Face datasets", "PyTorch", "Spark"} <= titles
