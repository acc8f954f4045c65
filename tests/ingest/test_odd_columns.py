"""Columns as the real world writes them: durations, nameless ones, folders that name values, numbers as written."""

import json
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from evenkeel.tasks.ingest.columns import as_text
from evenkeel.tasks.ingest.config import SourceConfig
from evenkeel.tasks.ingest.durations import as_iso
from evenkeel.tasks.ingest.partitions import partition_of
from evenkeel.tasks.ingest.pool import Pool
from evenkeel.tasks.ingest.reader import named
from evenkeel.tasks.ingest.source import find_shards
from tests.ingest.pools import ingest, whole, write


def read(folder: Path, **options: Any) -> Pool:
    return ingest(folder, uri=str(folder / "pool"), max_quarantined=1.0, **options)


def texts(folder: Path, **files: str) -> Path:
    for name, content in files.items():
        path = folder / "pool" / name.replace("__", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return folder


def reasons(pool: Pool) -> dict[str, str]:
    return {shard.name: shard.reason for shard in pool.shards if shard.reason}


def table(name: str, **columns: Any) -> pa.Table:
    rows = len(next(iter(columns.values())))
    names = [f"{name}{row}" for row in range(rows)]
    return pa.table({"id": names, "text": names, **columns})


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_durations_are_iso_texts_exact_in_any_unit(unit: str) -> None:
    per_second = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[unit]
    ticks = [0, 1, -1, 1500, 90 * per_second, -90_500_000, None, 2**63 - 1, -(2**63)]
    for tick, text in zip(ticks, as_iso(pa.array(ticks, pa.duration(unit))).to_pylist(), strict=True):
        if tick is None:
            assert text is None
            continue
        sign, _, number = text.partition("PT")
        assert number.endswith("S")
        assert Decimal(sign + number[:-1]) * per_second == tick
        assert "E" not in number
        assert number[:-1] == "0" or number[:-1].rstrip("0")[-1:] != "."
    assert as_iso(pa.array([1, 2], pa.duration(unit)).slice(1, 0)).type == pa.string()


def test_durations_of_several_units_are_one_text_and_a_score_in_seconds(tmp_path: Path) -> None:
    write(tmp_path / "pool" / "a.parquet", table("a", x=pa.array([1500, None], pa.duration("ms"))))
    write(tmp_path / "pool" / "b.parquet", table("b", x=pa.array([-2], pa.duration("s"))))
    nested = pa.array([[{"d": timedelta(seconds=90)}]], pa.list_(pa.struct([("d", pa.duration("us"))])))
    write(tmp_path / "pool" / "c.parquet", table("c", y=nested, x=pa.array([1], pa.duration("ns"))))
    pool = read(tmp_path, scores=["x"])
    found = whole(pool)
    assert found["x"] == ["PT1.5S", None, "-PT2S", "PT0.000000001S"]
    assert found["y"] == [None, None, None, [{"d": "PT90S"}]]
    assert as_text(nested).to_pylist() == ['[{"d": "PT90S"}]']
    assert found["score.x"] == [1.5, None, -2.0, pytest.approx(1e-9)]
    assert pool.info.payload["x"] == "string"


def test_columns_without_a_name_have_one(tmp_path: Path) -> None:
    texts(
        tmp_path, a__csv=",id,text,\n7,a,x,\n", b__jsonl='{"id": "b", "text": "x", "": 8}\n{"id": "c", "text": "y"}\n'
    )
    write(tmp_path / "pool" / "d.parquet", pa.table([["d"], ["x"], [9]], names=["id", "text", ""]))
    found = whole(read(tmp_path))
    assert found["unnamed"] == [7, 8, None, 9]
    assert found["unnamed_2"] == [None] * 4
    texts(tmp_path / "taken", a__csv=",id,text,unnamed\n7,a,x,y\n")
    assert {"unnamed": ["y"], "unnamed_2": [7]}.items() <= whole(read(tmp_path / "taken")).items()


def test_columns_and_fields_of_one_name_refuse_the_shard(tmp_path: Path) -> None:
    inner = pa.StructArray.from_arrays([pa.array([1]), pa.array([2])], names=["k", "k"])
    write(tmp_path / "pool" / "a.parquet", table("a", x=pa.array([[1]])))
    write(tmp_path / "pool" / "b.parquet", table("b", x=pa.ListArray.from_arrays([0, 1], inner)))
    write(tmp_path / "pool" / "c.parquet", pa.table([["c"], ["x"], [1], [2]], names=["id", "text", "x", "x"]))
    texts(tmp_path, d__csv="id,text,x,x\nd,x,1,2\n")
    pool = read(tmp_path)
    assert whole(pool)["id"] == ["a0"]
    assert {name: why.partition("ValueError: ")[2] for name, why in reasons(pool).items()} == {
        "b.parquet": "two fields of 'x.element' are named 'k'",
        "c.parquet": "two columns are named 'x'",
        "d.csv": "two columns have one name in the header ['id', 'text', 'x', 'x']",
    }


def test_folders_give_columns(tmp_path: Path) -> None:
    for number, folder in enumerate(
        ["lang=en/year=2024", "lang=pt%2DBR/year=2025", "lang=__HIVE_DEFAULT_PARTITION__/year=-1"]
    ):
        write(tmp_path / "pool" / folder / "a.parquet", table(f"{number}-", x=[number]))
    texts(
        tmp_path, **{"lang=de/year=7/b__csv": "id,text\nc,x\n", "lang=fr/year=8/b__jsonl": '{"id": "j", "text": "x"}\n'}
    )
    write(tmp_path / "pool" / "lang=own/year=3" / "c.parquet", table("own", lang=["its own"]))
    pool = read(tmp_path, groups=["lang"], scores=["year"])
    found = whole(pool)
    by_id = {one: (lang, year) for one, lang, year in zip(found["id"], found["lang"], found["year"], strict=True)}
    assert by_id == {
        "0-0": ("en", 2024),
        "1-0": ("pt-BR", 2025),
        "2-0": (None, -1),
        "c": ("de", 7),
        "j": ("fr", 8),
        "own0": ("its own", 3),
    }
    assert set(found["group.lang"]) == {"en", "pt-BR", "(none)", "de", "fr", "its own"}
    assert "lang" not in whole(ingest(tmp_path / "off", uri=str(tmp_path / "pool" / "lang=en"), partitions=False))


def test_numbers_of_folders_are_texts_where_one_is_none(tmp_path: Path) -> None:
    for at, value in enumerate(["7", "007", "12"]):
        write(tmp_path / "pool" / f"k={value}" / "a.parquet", table(f"{at}-", x=[at]))
        texts(tmp_path, **{f"k={value}/b__csv": f"id,text\nc{at},x\n"})
    assert whole(read(tmp_path))["k"] == ["007", "007", "12", "12", "7", "7"]


def test_which_folders_give_columns(tmp_path: Path) -> None:
    assert partition_of("/job=3/pool/a=1/b=2/x.parquet", "b=2/x.parquet") == {"a": "1", "b": "2"}
    assert partition_of("/job=3/pool/c/x.parquet", "c/x.parquet") == {}
    assert partition_of("/a=1/x.parquet", "x.parquet") == {"a": "1"}
    assert partition_of("s3://b/p/=v/k=/n=a=b/x=1.parquet", "=v/k=/n=a=b/x=1.parquet") == {"k": None, "n": "a=b"}
    for value in ("1", "2"):
        write(tmp_path / f"a={value}" / "x.parquet", {"id": [value]})
    found = find_shards(SourceConfig(uri=[str(tmp_path / "a=1"), str(tmp_path / "a=2" / "*.parquet")]))
    assert [shard.partition for shard in found] == [{"a": "1"}, {"a": "2"}]
    assert not any(shard.partition for shard in find_shards(SourceConfig(uri=str(tmp_path), partitions=False)))


@pytest.mark.parametrize("beside", ["abc", None])
def test_numbers_that_become_texts_are_as_they_were_written(tmp_path: Path, beside: str | None) -> None:
    written = ["1.50", "-0", "2", "0.10", "100.0", "0.123456789012345"]
    rows = [f"a{at},x,{value}" for at, value in enumerate(written)]
    texts(
        tmp_path, a__csv="\n".join(["id,text,n", *rows, "a0,again,9.90", ""]), b__csv=f"id,text,n\nb,x,{beside or 3}\n"
    )
    pool = read(tmp_path, rows_per_block=4)
    numbers = [float(value) for value in written]
    assert whole(pool)["n"] == ([*written, "abc"] if beside else [*numbers, 3.0])
    assert whole(pool)["id"] == [*(f"a{at}" for at in range(6)), "b"]
    # another run takes over what was read, and finds the texts where another shard makes the column text
    texts(tmp_path, c__csv="id,text,n\nc,x,none\n")
    assert whole(read(tmp_path))["n"] == [*written, beside or "3", "none"]


def test_a_json_number_becomes_the_same_text_in_any_piece(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evenkeel.tasks.ingest.readers.jsonl.PIECE", 400)
    values: list[Any] = [1.0, 1e20, 0.5, 7, 123456789012.0] * 8 + ["text", 1.0, 1e20, 7, 123456789012.0]
    rows = [json.dumps({"id": f"r{at}", "text": "x" * 20, "v": value}) for at, value in enumerate(values)]
    texts(tmp_path, a__jsonl="\n".join(rows))
    assert set(whole(read(tmp_path))["v"]) == {"1", "1e+20", "0.5", "7", "1.23456789012e+11", "text"}


def test_nanoseconds_and_long_decimals_stay_exact(tmp_path: Path) -> None:
    exact, finer = 10**18 + 5000, 10**18 + 5001
    kind = pa.timestamp("ns", "Europe/Berlin")
    columns = {
        "exact": pa.array([exact, None], kind),
        "finer": pa.array([exact, finer], pa.timestamp("ns")),
        "nested": pa.array([[{"t": exact}], None], pa.list_(pa.struct([("t", pa.timestamp("ns"))]))),
        "clock": pa.array([1000, None], pa.time64("ns")),
        "long": pa.array([Decimal("1.25"), None], pa.decimal256(50, 2)),
        "longest": pa.array([Decimal(10) ** 45, None], pa.decimal256(50, 0)),
    }
    write(tmp_path / "pool" / "a.parquet", table("a", **columns))
    write(tmp_path / "pool" / "b.parquet", table("b", finer=pa.array([exact // 1000], pa.timestamp("us"))))
    pool = read(tmp_path)
    kinds, found = pool.info.payload, whole(pool)
    assert kinds["exact"] == "timestamp[us, tz=Europe/Berlin]"
    assert kinds["nested"] == "list<item: struct<t: timestamp[us]>>"
    assert (kinds["clock"], kinds["long"], kinds["longest"]) == ("time64[us]", "decimal128(38, 2)", "string")
    assert [str(at) for at in found["finer"]] == [
        "2001-09-09 01:46:40.000005000",
        "2001-09-09 01:46:40.000005001",
        "2001-09-09 01:46:40.000005",
    ]
    assert found["exact"][0].timestamp() == 10**9 + 5e-6
    assert found["long"][0] == Decimal("1.25")
    assert Decimal(found["longest"][0]) == Decimal(10) ** 45
    assert pool.info.mixed["longest"].startswith("decimal256(50, 0)")


def test_structs_of_json_lines_beside_declared_ones_may_have_more_fields(tmp_path: Path) -> None:
    needed = pa.struct([pa.field("a", pa.int64(), nullable=False), ("b", pa.dictionary(pa.int8(), pa.string()))])
    write(
        tmp_path / "pool" / "a.parquet",
        table("a", x=pa.array([[{"a": 1, "b": "u"}, None], None, []], pa.list_(needed))),
    )
    write(tmp_path / "pool" / "b.parquet", table("b", x=pa.array([[{"c": [1, None]}]])))
    texts(tmp_path, c__jsonl=json.dumps({"id": "c", "text": "x", "x": [{"b": "z", "d": {"e": 1.5}}]}))
    pool = read(tmp_path)
    assert not reasons(pool)
    lacking: dict[str, Any] = dict.fromkeys("abcd")
    assert whole(pool)["x"] == [
        [lacking | {"a": 1, "b": "u"}, None],
        None,
        [],
        [lacking | {"c": [1, None]}],
        [lacking | {"b": "z", "d": {"e": 1.5}}],
    ]


def test_ids_with_any_separator_are_ids(tmp_path: Path) -> None:
    ids = [
        "a::1",
        "a:1",
        "a/b,c;d|e\tf",
        "x\ny",
        " a",
        "a ",
        'q"',
        "a.parquet:3",
        "é",
        "e\u0301",
        "n\0l",
        "\\",
        "%2F",
        "#2",
    ]
    write(tmp_path / "pool" / "a.parquet", {"id": ids, "text": ids})
    pool = read(tmp_path)
    assert whole(pool)["id"] == ids
    assert len(np.unique(whole(pool)["identity"])) == len(ids)


def test_only_the_suffix_says_that_tabs_part_fields(tmp_path: Path) -> None:
    texts(tmp_path, **{"x.tsv.csv": "id,text\na,x\n", "y.TSV": "id\ttext\nb\tx\n"})
    assert whole(read(tmp_path))["id"] == ["a", "b"]


def test_a_line_of_many_commas_is_named_in_no_time() -> None:
    """Each name was looked for from the first: a damaged header of 200,000 fields would take minutes."""
    names = named([*[""] * 200_000, "unnamed_3", "id"])
    assert names[:4] == ["unnamed", "unnamed_2", "unnamed_4", "unnamed_5"]
    assert len(set(names)) == 200_002
