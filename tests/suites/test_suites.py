"""Every file of three test suites that others keep is read as they say, as a peer does, or refused by name."""

import json
import math
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from evenkeel.tasks.ingest.columns import as_text
from evenkeel.tasks.publish.staging.schema import cast, published
from tests.suites.outcomes import CSV, JSON, known, open_json_files, parquet_files, read_file, read_json

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

# Files of which DuckDB knows an encoding or a type less than Arrow, the row that we refuse, a zone in a nested text.
NOT_COMPARED = {
    "byte_stream_split_extended.gzip.parquet",
    "map_no_value.parquet",
    "int96_from_spark.parquet",
    "nested_structs.rust.parquet",
}

WORDS = ("one", "two", "three", "four", "five", "six", "seven")


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


def same(staged: Any, read: Any) -> bool:
    """Tell whether values are those that were read: published types are wider, and write some as texts."""
    if isinstance(staged, list) and isinstance(read, list):
        return len(staged) == len(read) and all(map(same, staged, read))
    if isinstance(staged, dict) and isinstance(read, dict):
        return staged.keys() == read.keys() and all(same(staged[name], read[name]) for name in staged)
    return bool(staged == read or str(staged).replace('"', "") == str(read).replace('"', ""))


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
        elif path.name.startswith("y_"):
            assert (found.read, found.kept) == (3, 3), name
            theirs = json.loads(content)
            assert value == theirs or json.loads(str(value)) == theirs, name
        else:
            assert found == table[name], name
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


def test_the_whole_flow_takes_what_the_suites_hold(suites: Path, tmp_path: Path) -> None:
    (tmp_path / "pool").mkdir()
    rows, expected = 0, dict[str, list[Any]]()
    for number, path in enumerate(parquet_files(suites)):
        if path.parent.name != "data" or path.name == "large_string_map.brotli.parquet":
            continue
        _, pool = read_file(path, "parquet", tmp_path / str(number))
        if pool is None:
            continue
        table, stem = pool.payload(pool.blocks[0]).slice(0, 20), path.name.replace(".", "_").replace("-", "_")
        table = table.rename_columns([f"{stem}_{name}" for name in table.column_names])
        expected |= {name: values(table[name]) for name in table.column_names}
        ids = [f"{stem}-{row}" for row in range(table.num_rows)]
        words = [f"{stem} {WORDS[row % 7]} row {row}" for row in range(len(ids))]
        pq.write_table(table.append_column("id", [ids]).append_column("text", [words]), tmp_path / "pool" / path.name)
        rows += len(ids)
    recipe = {
        "dataset": "suites",
        "source": {"uri": str(tmp_path / "pool"), "guess_vector": False},
        "dedup": {"near": None},
        "clustering": {"levels": [12, 4], "iterations": 5, "resampling": 1},
        "sampling": {"target": rows, "strategy": "random"},
        "destination": {"uri": str(tmp_path / "published")},
        "workspace": str(tmp_path / "workspace"),
        "compute": "inline",
    }
    (tmp_path / "recipe.json").write_text(json.dumps(recipe))
    done = subprocess.run(
        [sys.executable, "-m", "tests.contributing.steps", str(tmp_path / "recipe.json"), "report"],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    steps = json.loads(done.stdout)
    assert steps["ingest"]["counts"]["pool"] == steps["sample"]["counts"]["kept"] == rows
    staged = pa.concat_tables(map(pq.read_table, sorted(tmp_path.glob("published/suites/versions/*/data/*.parquet"))))
    staged = staged.sort_by("ek_row_id")
    others = {}
    for name, column in expected.items():
        mine = pc.starts_with(staged["id"], name[: name.index("_parquet") + 8] + "-")
        if not same(found := values(staged.filter(mine)[name]), column):
            others[name] = (found[:3], column[:3])
    assert others == {}
