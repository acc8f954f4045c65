"""The readers people already use, each as docs/CONSUME.md shows it, and exports read back by their own libraries."""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from evenkeel.infra.errors import RecipeError, ResourceError
from evenkeel.tasks.publish.config import DestinationConfig
from evenkeel.tasks.publish.publish import PublishResult
from evenkeel.tasks.publish.table import Version
from evenkeel.tasks.versions.export import export
from evenkeel.tasks.versions.listing import read_version
from tests.publish.conftest import Publish


@pytest.fixture
def result(publish_one: Publish) -> PublishResult:
    publish_one(seed=1)
    return publish_one()


@pytest.fixture
def version(result: PublishResult, destination: DestinationConfig, workspace: str) -> Version:
    return read_version(destination, "demo", result.version, workspace)


@pytest.fixture
def ids(result: PublishResult) -> list[str]:
    return sorted(pd.read_parquet(result.data)["ek_id"])


def test_polars(result: PublishResult, ids: list[str]) -> None:
    import polars

    rows = polars.scan_parquet(f"{result.data}/*.parquet").select("ek_id", "ek_cluster_2").collect()
    assert sorted(rows["ek_id"]) == ids


def test_polars_by_iceberg(version: Version, ids: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    import polars

    monkeypatch.setenv("POLARS_ICEBERG_PLANNER", "pyiceberg")
    folder = Path(version.location).parent.parent / "metadata"
    newest = folder / f"{(folder / 'version-hint.text').read_text()}.metadata.json"
    rows = polars.scan_iceberg(str(newest), snapshot_id=version.snapshot_id).select("ek_id").collect()
    assert sorted(rows["ek_id"]) == ids


def test_duckdb(result: PublishResult, ids: list[str]) -> None:
    import duckdb

    with duckdb.connect() as connection:
        query = f"select ek_id, ek_cluster_2 from read_parquet('{result.data}/*.parquet')"
        assert sorted(row[0] for row in connection.execute(query).fetchall()) == ids


def test_pyiceberg(result: PublishResult, version: Version, ids: list[str], workspace: str) -> None:
    from pyiceberg.catalog.sql import SqlCatalog
    from pyiceberg.table import StaticTable

    catalog = SqlCatalog("evenkeel", uri=f"sqlite:///{workspace}/catalog.db")
    table = catalog.load_table("evenkeel.demo")
    rows = table.scan(snapshot_id=table.metadata.refs["v2"].snapshot_id, selected_fields=("ek_id",)).to_arrow()
    assert sorted(rows["ek_id"].to_pylist()) == ids
    static = StaticTable.from_metadata(str(Path(version.location).parent.parent))
    assert sorted(static.scan().to_arrow()["ek_id"].to_pylist()) == ids
    few = table.scan(row_filter="language == 'ja' and ek_cluster_2 == 0").to_pandas()
    assert set(few["language"]) <= {"ja"}
    catalog.engine.dispose()


@pytest.fixture
def quiet_hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Keep Hugging Face's libraries off the network and out of the home folder."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))


@pytest.mark.usefixtures("quiet_hub")
def test_hugging_face_datasets(result: PublishResult, ids: list[str], tmp_path: Path) -> None:
    from datasets import load_dataset

    files = {"train": f"{result.data}/*.parquet"}
    whole = load_dataset("parquet", data_files=files, split="train", cache_dir=str(tmp_path / "cache"))
    assert sorted(whole["ek_id"]) == ids
    stream = load_dataset("parquet", data_files=files, split="train", streaming=True, cache_dir=str(tmp_path / "cache"))
    assert sorted(row["ek_id"] for row in stream.shuffle(seed=0, buffer_size=64)) == ids


def copied(result: PublishResult) -> Counter[str]:
    rows = pd.read_parquet(result.data)
    return Counter(dict(zip(rows["ek_id"], rows["ek_copies"], strict=True)))


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
def test_hugging_face_folder(result: PublishResult, version: Version, tmp_path: Path) -> None:
    from datasets import load_from_disk

    done = export(version, "hf", str(tmp_path / "out"))
    whole = load_from_disk(str(tmp_path / "out"))
    assert Counter(whole["ek_id"]) == copied(result)
    assert done.rows == len(whole)


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


def test_mds(result: PublishResult, version: Version, tmp_path: Path) -> None:
    pytest.importorskip("streaming")
    export(version, "mds", str(tmp_path / "out"))
    code = """
rows = streaming.StreamingDataset(local=sys.argv[1], batch_size=1)
for place in range(len(rows)):
    print(json.dumps(rows[place]["ek_id"]))
"""
    assert Counter(elsewhere("streaming", code, str(tmp_path / "out"))) == copied(result)


@pytest.mark.slow
def test_duckdb_iceberg(result: PublishResult, version: Version, ids: list[str]) -> None:
    code = """
import duckdb
with duckdb.connect() as connection:
    for extension in ("avro", "iceberg"):
        duckdb_extensions.import_extension(extension, con=connection)
        connection.execute(f"load {extension}")
    for more in ("", f", snapshot_from_id = {sys.argv[2]}"):
        rows = connection.execute(f"select ek_id from iceberg_scan('{sys.argv[1]}'{more})").fetchall()
        print(json.dumps(sorted(row[0] for row in rows)))
"""
    table = result.location.partition("/versions/")[0]
    assert elsewhere("duckdb_extensions", code, table, str(version.snapshot_id)) == [ids, ids]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_spark(result: PublishResult, ids: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPARK_LOCAL_IP", "127.0.0.1")
    code = """
from pyspark.sql import SparkSession
builder = SparkSession.builder.master("local[1]").config("spark.ui.enabled", "false")
builder = builder.config("spark.driver.bindAddress", "127.0.0.1").config("spark.driver.host", "127.0.0.1")
with builder.getOrCreate() as spark:
    print(json.dumps(sorted(row["ek_id"] for row in spark.read.parquet(sys.argv[1]).select("ek_id").collect())))
"""
    assert elsewhere("pyspark", code, result.data) == [ids]


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


def test_a_format_whose_library_is_missing_is_named(
    version: Version, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "webdataset", None)
    with pytest.raises(ResourceError, match="pip install webdataset"):
        export(version, "webdataset", str(tmp_path / "out"))
