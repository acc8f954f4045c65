"""Exports are read back by the libraries they are made for."""

import json
import sys
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest

from evenkeel.infra.errors import RecipeError, ResourceError
from evenkeel.tasks.publish.config import DestinationConfig
from evenkeel.tasks.publish.publish import PublishResult
from evenkeel.tasks.publish.table import Version
from evenkeel.tasks.versions.export import export
from evenkeel.tasks.versions.listing import read_version
from tests.publish.fixtures import Publish
from tests.reading.libraries import elsewhere


def copied(result: PublishResult) -> Counter[str]:
    rows = pd.read_parquet(result.data)
    return Counter(dict(zip(rows["ek_id"], rows["ek_copies"], strict=True)))


@pytest.mark.long
def test_jsonl(result: PublishResult, version: Version, tmp_path: Path) -> None:
    import zstandard

    done = export(version, "jsonl", str(tmp_path / "out"), rows_per_file=100)
    seen: Counter[str] = Counter()
    for path in sorted((tmp_path / "out").iterdir()):
        with zstandard.open(path, "rt", encoding="utf-8") as lines:
            seen.update(json.loads(line)["ek_id"] for line in lines)
    assert seen == copied(result)
    assert (done.rows, done.files) == (sum(seen.values()), 4)
    with pytest.raises(RecipeError, match="must be empty"):
        export(version, "jsonl", str(tmp_path / "out"))
    assert export(version, "jsonl", str(tmp_path / "plain"), copies=False).rows == 200


@pytest.mark.usefixtures("quiet_hub")
@pytest.mark.long
def test_hugging_face_folder(result: PublishResult, version: Version, tmp_path: Path) -> None:
    from datasets import load_from_disk

    done = export(version, "hf", str(tmp_path / "out"))
    whole = load_from_disk(str(tmp_path / "out"))
    assert Counter(whole["ek_id"]) == copied(result)
    assert done.rows == len(whole)


@pytest.mark.long
def test_webdataset(publish_one: Publish, destination: DestinationConfig, workspace: str, tmp_path: Path) -> None:
    pytest.importorskip("webdataset")
    result = publish_one(width=20)
    blobs = dict(zip(*(pd.read_parquet(result.data)[name] for name in ("ek_id", "blob")), strict=True))
    export(read_version(destination, "demo", 1, workspace), "webdataset", str(tmp_path / "out"), rows_per_file=150)
    code = """
for sample in webdataset.WebDataset(sys.argv[1:], shardshuffle=False, empty_check=False):
    print(json.dumps([json.loads(sample["json"])["ek_id"], sample["blob"].hex()]))
"""
    samples = elsewhere("webdataset", code, *sorted(map(str, (tmp_path / "out").iterdir())))
    assert all(bytes.fromhex(blob) == blobs[one] for one, blob in samples)
    assert Counter(one for one, _ in samples) == copied(result)


@pytest.mark.slow
def test_mds(result: PublishResult, version: Version, tmp_path: Path) -> None:
    pytest.importorskip("streaming")
    export(version, "mds", str(tmp_path / "out"))
    code = """
rows = streaming.StreamingDataset(local=sys.argv[1], batch_size=1)
for place in range(len(rows)):
    print(json.dumps(rows[place]["ek_id"]))
"""
    assert Counter(elsewhere("streaming", code, str(tmp_path / "out"))) == copied(result)


def test_a_format_whose_library_is_missing_is_named(
    version: Version, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "webdataset", None)
    with pytest.raises(ResourceError, match="pip install webdataset"):
        export(version, "webdataset", str(tmp_path / "out"))
