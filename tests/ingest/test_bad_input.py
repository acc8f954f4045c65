"""Bad input gives a named quarantine or one clear error, and no row is lost."""

import gzip
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import zstandard

from evenkeel.infra.errors import InputError, QuarantineLimitError, RecipeError
from evenkeel.tasks.ingest.config import SourceConfig
from evenkeel.tasks.ingest.source import ingest_request
from evenkeel.tasks.ingest.step import INGEST
from evenkeel.tasks.inputs import NoInputs
from tests.ingest.pools import ingest, refused, run_at, whole, write

GOOD = {"id": [f"g{n}" for n in range(100)], "text": ["words enough"] * 100}


def good(folder: Path, count: int = 2) -> str:
    for number in range(count):
        ids = [f"{number}-{one}" for one in GOOD["id"]]
        write(folder / f"good-{number}.parquet", {**GOOD, "id": ids})
    return str(folder)


def test_a_truncated_parquet_file_among_good_ones(tmp_path: Path) -> None:
    source = good(tmp_path / "pool")
    whole_file = write(tmp_path / "pool" / "good-0z.parquet", GOOD).read_bytes()
    (tmp_path / "pool" / "good-0z.parquet").write_bytes(whole_file[: len(whole_file) // 2])
    with pytest.raises(QuarantineLimitError, match=r"good-0z\.parquet: unreadable shard.*magic bytes") as caught:
        ingest(tmp_path, uri=source)
    assert "of 200 rows and 1 shards" in (caught.value.found or "")
    pool = ingest(tmp_path, uri=source, max_quarantined=0.5)
    assert pool.rows == pool.info.read == 200
    assert [bool(shard.reason) for shard in pool.shards] == [False, True, False]
    assert pool.shards[1].sha256
    assert {block.shard for block in pool.blocks} == {0, 2}


def test_a_damaged_page_refuses_all_rows_of_its_shard(tmp_path: Path) -> None:
    source = good(tmp_path / "pool", 1)
    texts = [f"text number {n} " * 20 for n in range(5000)]
    path = write(
        tmp_path / "pool" / "z.parquet",
        {"id": [f"z{n}" for n in range(5000)], "text": texts},
        row_group_size=1000,
        write_page_checksum=True,
    )
    raw = bytearray(path.read_bytes())
    raw[len(raw) * 3 // 4] ^= 1
    path.write_bytes(raw)
    pool = ingest(tmp_path, uri=source, max_quarantined=1.0, rows_per_block=500)
    assert (pool.rows, pool.info.quarantined) == (100, 5000)
    assert set(refused(pool)) == {(1, row, "unreadable shard") for row in range(5000)}
    assert sorted(os.listdir(f"{pool.uri}/rows")) == ["s000000-b000000.parquet"]


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
@pytest.mark.parametrize("cut", [7, 0.6])
@pytest.mark.long
def test_compressed_lines_that_end_early(tmp_path: Path, suffix: str, cut: float) -> None:
    raw = "".join(json.dumps({"id": n, "text": f"{n} {os.urandom(300).hex()}"}) + "\n" for n in range(3000)).encode()
    packed = gzip.compress(raw) if suffix == ".gz" else zstandard.compress(raw)
    (tmp_path / f"bad.jsonl{suffix}").write_bytes(packed[: int(cut if cut > 1 else len(packed) * cut)])
    (tmp_path / "good.jsonl").write_bytes(raw.replace(b'"id": ', b'"id": 9'))
    pool = ingest(tmp_path, uri=str(tmp_path / "*.jsonl*"), max_quarantined=1.0)
    assert pool.rows == 3000
    assert "ends early" in pool.shards[0].reason


def test_vectors_of_two_lengths(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", {"v": pa.array([[1.0, 2.0]] * 60)})
    write(tmp_path / "b.parquet", {"v": pa.array([[1.0, 2.0, 3.0]] * 40)})
    with pytest.raises(QuarantineLimitError, match="40 rows: wrong dimension"):
        ingest(tmp_path, uri=str(tmp_path / "*.parquet"))
    pool = ingest(tmp_path, uri=str(tmp_path / "*.parquet"), max_quarantined=0.5)
    assert (pool.rows, pool.info.dimension, pool.info.reasons) == (60, 2, {"wrong dimension": 40})
    pool = ingest(tmp_path, uri=str(tmp_path / "*.parquet"), max_quarantined=0.7, dimension=3)
    assert (pool.rows, pool.info.dimension) == (40, 3)


def test_npy_shards_of_two_widths(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.ones((5, 4), np.float32))
    np.save(tmp_path / "b.npy", np.ones((2, 3), np.float32))
    pool = ingest(tmp_path, uri=str(tmp_path), max_quarantined=0.5)
    assert (pool.rows, pool.info.reasons) == (5, {"wrong dimension": 2})
    assert pool.quarantine()["detail"].to_pylist() == ["'vector': 3 instead of 4"] * 2


def test_a_column_missing_everywhere_names_the_one_meant(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no shard has the column 'txet'") as caught:
        ingest(tmp_path, uri=good(tmp_path / "pool"), text="txet")
    assert caught.value.remedy == "did you mean 'text'?"
    (tmp_path / "a.jsonl").write_text('{"text": "a"}\n')
    with pytest.raises(InputError, match="no shard has the column 'lang'"):
        ingest(tmp_path, uri=str(tmp_path / "a.jsonl"), groups=["lang"])


@pytest.mark.parametrize("form", ["parquet", "csv"])
def test_a_column_missing_in_one_shard_refuses_that_shard(tmp_path: Path, form: str) -> None:
    source = good(tmp_path / "pool")
    if form == "parquet":
        write(tmp_path / "pool" / "z.parquet", {"id": ["1"], "body": ["x"]})
    else:
        (tmp_path / "pool" / "z.csv").write_text("id,body\n1,x\n")
    pool = ingest(tmp_path, uri=source, text="text", max_quarantined=0.1)
    assert pool.rows == 200
    assert pool.shards[2].reason == "missing column: 'text'"
    assert refused(pool) == ([(2, 0, "missing column")] if form == "parquet" else [])


def test_a_shard_with_another_type_is_refused_by_name_and_column(tmp_path: Path) -> None:
    source = good(tmp_path / "pool", 1)
    write(tmp_path / "pool" / "a-first.parquet", {"id": ["a", "b"], "text": ["a", "b"], "n": [1, 2]})
    write(tmp_path / "pool" / "z.parquet", {"id": ["c"], "text": ["c"], "n": ["three"]})
    pool = ingest(tmp_path, uri=source, max_quarantined=0.1)
    assert pool.shards[2].reason == "type mismatch: 'n' is string, but int64 in a-first.parquet"
    assert refused(pool) == [(2, 0, "type mismatch")]
    with pytest.raises(QuarantineLimitError, match="'n' is string, but int64 in a-first"):
        ingest(tmp_path, uri=[f"{source}/a-first.parquet", f"{source}/z.parquet"])


def test_rows_are_refused_one_by_one_with_their_reason(tmp_path: Path) -> None:
    nan, inf = float("nan"), float("inf")
    rows: list[dict[str, Any]] = [
        {"id": "a", "text": "fine", "v": [1.0, 2.0], "q": 1.5},
        {"id": None, "text": "x", "v": [1.0, 2.0], "q": 1.0},
        {"id": "", "text": "x", "v": [1.0, 2.0], "q": 1.0},
        {"id": "b", "text": " \t\u2003\n", "v": [1.0, 2.0], "q": 1.0},
        {"id": "c", "text": None, "v": [1.0, 2.0], "q": 1.0},
        {"id": "d", "text": "y" * 2000, "v": [1.0, 2.0], "q": 1.0},
        {"id": "e", "text": "x", "v": None, "q": 1.0},
        {"id": "f", "text": "x", "v": [nan, 2.0], "q": 1.0},
        {"id": "g", "text": "x", "v": [inf, 2.0], "q": 1.0},
        {"id": "h", "text": "x", "v": [1e300, 2.0], "q": 1.0},
        {"id": "i", "text": "x", "v": [0.0, 0.0], "q": 1.0},
        {"id": "a", "text": "again", "v": [1.0, 2.0], "q": 1.0},
        {"id": "g", "text": "the first g was refused", "v": [1.0, 2.0], "q": None},
    ]
    write(tmp_path / "a.parquet", pa.Table.from_pylist(rows))
    options: dict[str, Any] = {"max_quarantined": 1.0, "max_row_bytes": 1000, "scores": ["q"]}
    pool = ingest(tmp_path, uri=str(tmp_path), **options)
    reasons = ["null id"] * 2 + ["empty text"] * 2 + ["oversize row", "null vector"] + ["vector not finite"] * 3
    expected = [*reasons, "zero vector", "duplicate id"]
    assert refused(pool) == [(0, row, reason) for row, reason in enumerate(expected, start=1)]
    assert whole(pool)["id"] == ["a", "g"]
    assert whole(pool)["score.q"] == [1.5, None]
    assert pool.quarantine()["detail"].to_pylist()[-1] == "first in row 0 of a.parquet"
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "a.csv").write_text("id,text,q\n1,a,high\n2,b,2e1\n")
    pool = ingest(tmp_path, uri=str(tmp_path / "b"), **options)
    assert refused(pool) == [(0, 0, "score not a number")]
    assert whole(pool)["score.q"] == [20.0]


def test_lines_that_do_not_parse_are_rows_in_quarantine(tmp_path: Path) -> None:
    lines = [
        b'{"id": 1, "text": "a"}',
        b'{"id": 2, "text": "b"',
        b"",
        b"[1, 2]",
        b'{"id": 3, "text": "\xff"}',
        b'{"id": 4, "text": "\\ud800"}',
        b'{"id": 5, "text": "c"}{"id": 6, "text": "d"}',
        b'{"id": 7, "text": "e", "extra": {"a": 1}}',
        b"{}",
    ]
    (tmp_path / "a.jsonl").write_bytes(b"\n".join(lines))
    pool = ingest(tmp_path, uri=str(tmp_path), max_quarantined=1.0)
    assert refused(pool) == [(0, row, "unparsable row") for row in (1, 2, 3, 4, 5)] + [(0, 7, "null id")]
    assert whole(pool)["id"] == [1, 7]
    assert whole(pool)["row"] == [0, 6]
    assert pool.info.read == 8


def test_csv_rows_of_another_width_are_in_quarantine(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id,text\n1,a\n2,b,c\n\n3\n4,d\n5\n")
    pool = ingest(tmp_path, uri=str(tmp_path), max_quarantined=1.0)
    assert refused(pool) == [(0, 1, "unparsable row"), (0, 2, "unparsable row"), (0, 4, "unparsable row")]
    assert whole(pool)["text"] == ["a", "d"]
    assert "3 fields instead of 2" in pool.quarantine()["detail"][0].as_py()


@pytest.mark.parametrize("content", ["", "id,text\n"])
def test_an_empty_pool_says_so(tmp_path: Path, content: str) -> None:
    (tmp_path / "a.csv").write_text(content)
    write(tmp_path / "b.parquet", {"id": pa.array([], pa.string()), "text": pa.array([], pa.string())})
    with pytest.raises(InputError, match="no usable row"):
        ingest(tmp_path, uri=str(tmp_path))
    assert not list((tmp_path / "workspace").rglob("done.json"))


def test_empty_shards_among_good_ones_change_nothing(tmp_path: Path) -> None:
    source = good(tmp_path / "pool")
    before = ingest(tmp_path, uri=source)
    for name in ("a.jsonl", "m.csv", "z.csv"):
        (tmp_path / "pool" / name).write_text("id,text\n" if name == "z.csv" else "")
    pool = ingest(tmp_path, uri=source)
    assert (pool.rows, pool.info.id, pool.info.text) == (200, "id", "text")
    assert whole(pool)["identity"] == whole(before)["identity"]
    assert not any(shard.reason for shard in pool.shards)


def test_a_source_that_is_not_there(tmp_path: Path) -> None:
    for uri in (tmp_path / "nothing", tmp_path / "*.parquet"):
        with pytest.raises(InputError, match=r"not there|no shard"):
            ingest(tmp_path, uri=str(uri))
    (tmp_path / "a.bin").write_text("x")
    with pytest.raises(RecipeError, match="is unknown"):
        ingest(tmp_path, uri=str(tmp_path / "a.bin"))


def test_one_row(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", {"text": ["only"]})
    pool = ingest(tmp_path, uri=str(tmp_path / "a.parquet"))
    assert pool.rows == 1
    assert whole(pool)["id"] == ["a.parquet:0"]
    assert pool.row_ids().tolist() == [0]


def test_names_that_versions_use_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", {"text": ["x"], "ek_weight": [1.0]})
    with pytest.raises(InputError, match="'ek_weight'"):
        ingest(tmp_path, uri=str(tmp_path))


def test_a_shard_that_changes_while_it_is_read_is_an_error(tmp_path: Path) -> None:
    path = write(tmp_path / "a.parquet", GOOD)
    request = ingest_request(SourceConfig(uri=str(path)))
    write(path, {"id": ["1"], "text": ["other"]})
    with pytest.raises(InputError, match="changed while"):
        INGEST(request, NoInputs(), run_at(tmp_path))


def test_two_columns_of_one_name_make_a_shard_unreadable(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id,id\n1,2\n")
    with pytest.raises(QuarantineLimitError, match="two columns"):
        ingest(tmp_path, uri=str(tmp_path))


def test_ids_of_another_length_than_the_vectors(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.ones((5, 4), np.float32))
    for count in (4, 6):
        (tmp_path / "ids.txt").write_text("".join(f"{n}\n" for n in range(count)))
        with pytest.raises(QuarantineLimitError, match=f"{count if count < 5 else 'more'}"):
            ingest(tmp_path, uri=str(tmp_path / "x.npy"), ids=str(tmp_path / "ids.txt"))
    with pytest.raises(RecipeError, match="one file for each"):
        ingest(tmp_path, uri=str(tmp_path / "x.npy"), ids=[str(tmp_path / "ids.txt"), str(tmp_path / "x.npy")])
