"""The readers people already use, each as docs/CONSUME.md shows it."""

from pathlib import Path

import pandas as pd
import pytest

from evenkeel.tasks.publish.publish import PublishResult
from evenkeel.tasks.publish.table import Version
from tests.reading.libraries import elsewhere


@pytest.fixture
def ids(result: PublishResult) -> list[str]:
    return sorted(pd.read_parquet(result.data)["ek_id"])


@pytest.mark.long
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


@pytest.mark.long
def test_duckdb(result: PublishResult, ids: list[str]) -> None:
    import duckdb

    with duckdb.connect() as connection:
        query = f"select ek_id, ek_cluster_2 from read_parquet('{result.data}/*.parquet')"
        assert sorted(row[0] for row in connection.execute(query).fetchall()) == ids


@pytest.mark.long
def test_pyiceberg(result: PublishResult, version: Version, ids: list[str]) -> None:
    from pyiceberg.catalog.sql import SqlCatalog
    from pyiceberg.table import StaticTable

    destination = Path(version.location).parents[2]
    catalog = SqlCatalog("evenkeel", uri=f"sqlite:///{destination}/catalog.db")
    table = catalog.load_table("evenkeel.demo")
    rows = table.scan(snapshot_id=table.metadata.refs["v2"].snapshot_id, selected_fields=("ek_id",)).to_arrow()
    assert sorted(rows["ek_id"].to_pylist()) == ids
    static = StaticTable.from_metadata(str(Path(version.location).parent.parent))
    assert sorted(static.scan().to_arrow()["ek_id"].to_pylist()) == ids
    few = table.scan(row_filter="language == 'ja' and ek_cluster_2 == 0").to_pandas()
    assert set(few["language"]) <= {"ja"}
    catalog.engine.dispose()


@pytest.mark.slow
@pytest.mark.usefixtures("quiet_hub")
def test_hugging_face_datasets(result: PublishResult, ids: list[str], tmp_path: Path) -> None:
    from datasets import load_dataset

    files = {"train": f"{result.data}/*.parquet"}
    whole = load_dataset("parquet", data_files=files, split="train", cache_dir=str(tmp_path / "cache"))
    assert sorted(whole["ek_id"]) == ids
    stream = load_dataset("parquet", data_files=files, split="train", streaming=True, cache_dir=str(tmp_path / "cache"))
    assert sorted(row["ek_id"] for row in stream.shuffle(seed=0, buffer_size=64)) == ids


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
