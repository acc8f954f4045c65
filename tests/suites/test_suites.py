"""Every file of three test suites that others keep is read as they say, as a peer does, or refused by name."""

import json
import math
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from evenkeel.tasks.ingest.columns import as_text
from evenkeel.tasks.publish.staging.schema import cast, published
from tests.suites.outcomes import CSV, JSON, Outcome, known, open_json_files, parquet_files, read_file, read_json

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

# Files of which DuckDB knows an encoding or a type less than Arrow, the row that we refuse, a zone in a nested text.
NOT_COMPARED = {
    "byte_stream_split_extended.gzip.parquet",
    "map_no_value.parquet",
    "int96_from_spark.parquet",
    "nested_structs.rust.parquet",
}

# JSON that is allowed and of which a value would be lost: one key, two values.
STRICTER = {"y_object_duplicated_key.json": Outcome(3, 2, "1 unparsable row")}


def plain(value: Any) -> Any:
    """Return a value as both readers would write it: bytes that are UTF-8 as text, times without zone, NaN as equal."""
    if isinstance(value, float) and math.isnan(value):
        return "nan"
    if isinstance(value, datetime):
        return value.replace(tzinfo=None)
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return value.hex()
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list | tuple) else value


def values(column: pa.ChunkedArray) -> Any:
    """Return a column as Python values, as texts where Python has no such time."""
    try:
        return plain(column.to_pylist())
    except (OverflowError, ValueError):
        return as_text(column).to_pylist()


def test_parquet_testing(suites: Path, tmp_path: Path) -> None:
    table, compared = known(), 0
    files = parquet_files(suites)
    assert files, f"no checkout of apache/parquet-testing in {suites}"
    for number, path in enumerate(files):
        name = path.relative_to(suites).as_posix()
        found, pool = read_file(path, "parquet", tmp_path / str(number))
        expected = table[name]
        assert (found.read, found.kept) == (expected.read, expected.kept), name
        assert found.why.partition(":")[0] == expected.why.partition(":")[0], name
        if pool is None:
            continue
        ours = pa.concat_tables([pool.payload(block) for block in pool.blocks])
        assert cast(ours, published(ours.schema)).num_rows == found.kept, name
        if path.parent.name == "shredded_variant" or path.name in NOT_COMPARED:  # variants are kept as their parts
            continue
        theirs = duckdb.read_parquet(str(path)).to_arrow_table()
        assert sorted(theirs.column_names) == sorted(ours.column_names), name
        for column in theirs.column_names:
            assert values(ours[column]) == values(theirs[column]), f"{name}: {column}"
        compared += 1
    assert compared >= 60


def test_json_test_suite(suites: Path, tmp_path: Path) -> None:
    table = known()
    documents = sorted((suites / JSON / "test_parsing").glob("[yn]_*.json"))
    assert documents, f"no checkout of nst/JSONTestSuite in {suites}"
    for number, path in enumerate([*documents, *open_json_files(suites)]):
        name, content = path.relative_to(suites).as_posix(), path.read_bytes()
        found, value = read_json(content, tmp_path / str(number), joined=not path.name.startswith("n_"))
        if path.name.startswith("n_"):
            assert (found.kept, found.why) == (2, f"{found.read - 2} unparsable row"), name
        elif path.name.startswith("y_") and path.name not in STRICTER:
            assert (found.read, found.kept) == (3, 3), name
            theirs = json.loads(content)
            assert value == theirs or json.loads(str(value)) == theirs, name
        else:
            assert found == STRICTER.get(path.name, table.get(name)), name
        # the file as it stands, a document and not lines of JSON: never more rows than lines, and no line unaccounted
        shard = tmp_path / "alone" / f"{number}.json"
        shard.parent.mkdir(exist_ok=True)
        shard.write_bytes(content)
        alone, _ = read_file(shard, "jsonl", tmp_path / f"alone-{number}")
        assert alone.kept <= alone.read <= content.count(b"\n") + 1, name


def test_csv_spectrum(suites: Path, tmp_path: Path) -> None:
    files = sorted((suites / CSV / "csvs").glob("*.csv"))
    assert files, f"no checkout of maxogden/csv-spectrum in {suites}"
    for path in files:
        expected = json.loads((suites / CSV / "json" / f"{path.stem}.json").read_text())
        _, pool = read_file(path, "csv", tmp_path / path.stem)
        assert pool is not None
        rows = [row for block in pool.blocks for row in pool.payload(block).to_pylist()]
        texts = [{name: "" if value is None else str(value) for name, value in row.items()} for row in rows]
        assert texts == expected, path.name
