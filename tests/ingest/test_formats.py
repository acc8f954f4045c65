"""Every format and every way of writing vectors gives the same pool."""

import bz2
import gzip
import json
import lzma
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pyarrow as pa
import pytest
import zstandard

from evenkeel.tasks.inputs import NoInputs
from tests.ingest.pools import ingest, refused, whole, write

X = np.random.default_rng(0).normal(size=(57, 8)).astype(np.float32)
IDS = [f"id-{n}" for n in range(57)]


def vectors(pool: Any) -> np.ndarray:
    return np.concatenate([pool.vectors(block) for block in pool.blocks])


def column(kind: str, value: Any) -> pa.Array:
    flat = pa.array(X.ravel(), pa.float32()).cast(value)
    if kind == "fixed":
        return pa.FixedSizeListArray.from_arrays(flat, 8)
    offsets = np.arange(58) * 8
    if kind == "large":
        return pa.LargeListArray.from_arrays(pa.array(offsets, pa.int64()), flat)
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), flat)


@pytest.mark.parametrize("value", [pa.float16(), pa.float32(), pa.float64()], ids=str)
@pytest.mark.parametrize("kind", ["list", "large", "fixed"])
def test_parquet_vectors(tmp_path: Path, kind: str, value: Any) -> None:
    write(tmp_path / "a.parquet", {"id": IDS, "emb": column(kind, value)}, row_group_size=10)
    pool = ingest(tmp_path, uri=str(tmp_path / "a.parquet"), rows_per_block=16)
    assert [block.rows for block in pool.blocks] == [16, 16, 16, 9]
    assert pool.info.dtype == ("float16" if value == pa.float16() else "float32")
    assert vectors(pool).dtype == pool.info.dtype
    np.testing.assert_array_equal(vectors(pool), X.astype(np.float16) if value == pa.float16() else X)
    assert pool.info.vector == "emb"
    payload = pool.payload(pool.blocks[0])  # a guessed vector stays a column
    assert payload.column_names == ["id", "emb"]
    assert payload["emb"].to_pylist() == X.astype(pool.info.dtype)[:16].tolist()
    named = ingest(tmp_path, uri=str(tmp_path / "a.parquet"), vector="emb")
    assert named.payload(named.blocks[0]).column_names == ["id"]


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_vectors_in_fixed_size_binary(tmp_path: Path, dtype: Any) -> None:
    rows = [row.tobytes() for row in X.astype(dtype)]
    write(tmp_path / "a.parquet", {"id": IDS, "v": pa.array(rows, pa.binary(8 * np.dtype(dtype).itemsize))})
    pool = ingest(tmp_path, uri=str(tmp_path), vector="v", dimension=8, rows_per_block=20)
    np.testing.assert_array_equal(vectors(pool), X.astype(dtype).astype(pool.info.dtype))
    assert pool.info.dtype == ("float16" if dtype is np.float16 else "float32")


def test_lists_with_null_slots_and_wrong_lengths_lose_only_those_rows(tmp_path: Path) -> None:
    lists: list[Any] = [row.tolist() for row in X]
    lists[3], lists[5], lists[7], lists[9] = None, [1.0], [1.0] * 7 + [None], []
    write(tmp_path / "a.parquet", {"id": IDS, "v": pa.array(lists, pa.list_(pa.float32()))})
    pool = ingest(tmp_path, uri=str(tmp_path), max_quarantined=0.2)
    assert refused(pool) == [
        (0, 3, "null vector"),
        (0, 5, "wrong dimension"),
        (0, 7, "vector not finite"),
        (0, 9, "wrong dimension"),
    ]
    np.testing.assert_array_equal(vectors(pool), np.delete(X, [3, 5, 7, 9], axis=0))
    assert pool.quarantine()["detail"].to_pylist()[1] == "'v': 1 instead of 8"


LINES = [
    {
        "id": n,
        "text": f'text {n} – ünï\n"quoted" 数据 \U0001f600',
        "lang": "de" if n % 3 else None,
        "q": n / 2,
        "when": "2020-01-01",
    }
    for n in range(1, 31)
]
PACK: dict[str, Any] = {
    "": bytes,
    ".gz": gzip.compress,
    ".zst": lambda raw: zstandard.compress(raw[:700]) + zstandard.compress(raw[700:]),
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
}


@pytest.mark.parametrize("suffix", PACK)
def test_json_lines(tmp_path: Path, suffix: str) -> None:
    raw = b"\xef\xbb\xbf" + b"\r\n\n".join(json.dumps(line).encode() for line in LINES)
    (tmp_path / f"a.jsonl{suffix}").write_bytes(PACK[suffix](raw))
    pool = ingest(tmp_path, uri=str(tmp_path / f"a.jsonl{suffix}"), groups=["lang"], scores=["q"], rows_per_block=7)
    found = whole(pool)
    for name in ("id", "text", "lang", "when"):
        assert found[name] == [line[name] for line in LINES]
    assert found["group.lang"] == [line["lang"] or "(none)" for line in LINES]
    assert found["score.q"] == [line["q"] for line in LINES]
    assert found["row"] == list(range(30))
    assert pool.info.payload["when"] == "string"
    assert pool.text(pool.blocks[0]).to_pylist() == [line["text"] for line in LINES[:7]]


@pytest.mark.parametrize("suffix", ["", ".gz", ".zst"])
def test_csv_with_quotes_line_ends_and_codes(tmp_path: Path, suffix: str) -> None:
    raw = 'code,text,n,x,flag\n007,"a, ""b""\nc",1,1.5,true\nNA,é,,2.25,false\n"1e5",z,-3,,\n'.encode()
    (tmp_path / f"a.csv{suffix}").write_bytes(PACK[suffix](raw))
    pool = ingest(tmp_path, uri=str(tmp_path), id="code", scores=["x"])
    found = whole(pool)
    assert found["code"] == ["007", "NA", "1e5"]
    assert found["text"] == ['a, "b"\nc', "é", "z"]
    assert found["n"] == [1, None, -3]
    assert found["flag"] == [True, False, None]
    assert found["score.x"] == [1.5, 2.25, None]


def test_tsv_is_cut_at_tabs(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text("id\ttext\n1\ta,b\n")
    assert whole(ingest(tmp_path, uri=str(tmp_path)))["text"] == ["a,b"]


def test_numbers_too_long_for_a_double_survive_json(tmp_path: Path) -> None:
    ids = [2**53 + 1, 2**63 + 1, 2**70 + 1, -5]
    (tmp_path / "a.jsonl").write_text("".join(f'{{"id": {n}, "x": {n}}}\n' for n in ids) + '{"id": 7, "x": 0.5}\n')
    found = whole(ingest(tmp_path, uri=str(tmp_path)))
    assert found["id"] == [*map(str, ids), "7"]
    assert found["x"] == [*map(str, ids), "0.5"]


@pytest.mark.parametrize("beside", ["ids.txt", "ids.npy", "ids.jsonl", "ids.csv", "ids.parquet", None])
def test_npy_with_its_ids(tmp_path: Path, beside: str | None) -> None:
    np.save(tmp_path / "x.npy", X.astype(np.float16))
    if beside == "ids.txt":
        (tmp_path / beside).write_text("\n".join(IDS) + "\n")
    elif beside == "ids.npy":
        np.save(tmp_path / beside, np.array(IDS))
    elif beside == "ids.jsonl":
        (tmp_path / beside).write_text("".join(json.dumps({"id": one, "text": one * 2}) + "\n" for one in IDS))
    elif beside == "ids.csv":
        (tmp_path / beside).write_text("id,text\n" + "".join(f"{one},{one}\n" for one in IDS))
    elif beside:
        write(tmp_path / beside, {"id": IDS, "text": IDS})
    pool = ingest(tmp_path, uri=str(tmp_path / "x.npy"), ids=beside and str(tmp_path / beside), rows_per_block=20)
    np.testing.assert_array_equal(vectors(pool), X.astype(np.float16))
    expected = IDS if beside else [f"x.npy:{n}" for n in range(57)]
    assert [one for block in pool.blocks for one in pool.table(block)["id"].to_pylist()] == expected
    assert pool.has_text == (beside in ("ids.jsonl", "ids.csv", "ids.parquet"))
    assert pool.payload(pool.blocks[0]).num_rows == 20


def test_memory_store_globs_folders_and_lists_of_places(tmp_path: Path) -> None:
    store = fsspec.filesystem("memory")
    for name, n in (
        ("pool/a/1.jsonl", 1),
        ("pool/b/2.jsonl", 2),
        ("other/3.jsonl", 3),
        ("pool/_SUCCESS", 0),
        ("pool/x.md", 0),
    ):
        store.pipe_file(f"/{tmp_path.name}/{name}", f'{{"text": "t{n}"}}\n'.encode())
    root = f"memory:///{tmp_path.name}"
    assert whole(ingest(tmp_path, uri=f"{root}/pool/*/*.jsonl"))["id"] == ["a/1.jsonl:0", "b/2.jsonl:0"]
    assert whole(ingest(tmp_path, uri=f"{root}/pool"))["text"] == ["t1", "t2"]
    places = [f"{root}/other/3.jsonl", f"{root}/pool/a/*", f"{root}/other/*"]
    pool = ingest(tmp_path, uri=places)
    assert whole(pool)["text"] == ["t3", "t1"]
    assert [shard.uri for shard in pool.shards] == [f"{root}/other/3.jsonl", f"{root}/pool/a/1.jsonl"]
    assert not list((tmp_path / "scratch").rglob("*.jsonl"))


def test_pool_in_a_remote_workspace(tmp_path: Path) -> None:
    from evenkeel.tasks.ingest.config import SourceConfig
    from evenkeel.tasks.ingest.pool import Pool
    from evenkeel.tasks.ingest.source import ingest_request
    from evenkeel.tasks.ingest.step import INGEST
    from evenkeel.tasks.step import Run

    write(tmp_path / "a.parquet", {"id": [*IDS[:-1], "id-0"], "emb": column("fixed", pa.float32())})
    run = Run(workspace=f"memory://{tmp_path.name}/w", dataset="d", scratch=tmp_path / "scratch")
    request = ingest_request(SourceConfig(uri=str(tmp_path / "*.parquet"), max_quarantined=0.1, rows_per_block=10))
    pool = Pool.open(INGEST(request, NoInputs(), run), scratch=tmp_path / "scratch")
    np.testing.assert_array_equal(vectors(pool), X[:-1])
    assert refused(pool) == [(0, 56, "duplicate id")]


def test_formats_and_types_mix_into_one_schema(tmp_path: Path) -> None:
    write(
        tmp_path / "a.parquet",
        {"id": [1, 2], "text": ["a", "b"], "n": pa.array([1, 2], pa.int32()), "only": [True, None]},
    )
    write(tmp_path / "b.parquet", {"id": [3], "text": pa.array(["c"]).dictionary_encode(), "n": pa.array([2.5])})
    (tmp_path / "c.jsonl").write_text('{"id": "4", "text": "d", "n": "many", "deep": {"k": [1, {"z": null}]}}\n')
    pool = ingest(tmp_path, uri=str(tmp_path))
    found = whole(pool)
    assert found["id"] == ["1", "2", "3", "4"]
    assert found["n"] == ["1", "2", "2.5", "many"]
    assert found["only"] == [True, None, None, None]
    assert len({str(pool.payload(block).schema) for block in pool.blocks}) == 1
    assert pool.info.mixed == {"id": "int64, string -> string", "n": "double, string -> string"}
