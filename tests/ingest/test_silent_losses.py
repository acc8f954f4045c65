"""Inputs of the real world that lost or changed rows, or took the run down: each has its right outcome."""

import bz2
import gzip
import json
import lzma
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from evenkeel.infra.errors import InputError, QuarantineLimitError
from evenkeel.tasks.ingest.config import SourceConfig
from evenkeel.tasks.ingest.pool import Pool
from evenkeel.tasks.ingest.source import ingest_request
from evenkeel.tasks.ingest.step import INGEST
from evenkeel.tasks.inputs import NoInputs
from tests.ingest.pools import ingest, refused, run_at, whole, write

TEXTS = {"id": ["a", "b"], "text": ["one text", "another text"]}


def lines(path: Path, rows: list[Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{row if isinstance(row, str) else json.dumps(row)}\n" for row in rows))
    return path


def read(folder: Path, **options: Any) -> Pool:
    return ingest(folder, uri=str(folder / "pool"), max_quarantined=1.0, **options)


def reasons(pool: Pool) -> dict[str, str]:
    return {shard.name: shard.reason for shard in pool.shards if shard.reason}


def shards(folder: Path, *columns: Any) -> Path:
    """Write one Parquet shard for each column `x`, with ids and texts of its own."""
    for number, column in enumerate(columns):
        names = [f"{number}-{row}" for row in range(len(column))]
        write(folder / "pool" / f"{number}.parquet", pa.table({"id": names, "text": names, "x": column}))
    return folder


def test_a_run_that_refuses_everything_says_why(tmp_path: Path) -> None:
    (tmp_path / "pool").mkdir()
    (tmp_path / "pool" / "a.csv").write_bytes(b"id,text\n1,caf\xe9\n")
    (tmp_path / "pool" / "b.csv").write_text("id,text\n1\n")
    with pytest.raises(InputError) as error:
        read(tmp_path)
    message = str(error.value)
    assert "2 shards with 1 rows, 1 refused; 1 shard refused" in message
    assert f"{tmp_path}/pool/a.csv: unreadable shard" in message
    assert "0xe9" in message
    assert f"1 rows: unparsable row, as in row 0 of {tmp_path}/pool/b.csv: 1 fields instead of 2 in '1'" in message
    [written] = tmp_path.glob("workspace/d/ingest/*/shards.json")
    assert [bool(shard["reason"]) for shard in json.loads(written.read_text())] == [True, False]


@pytest.mark.parametrize("exact", [False, True])
def test_whole_numbers_beside_doubles_stay_exact(tmp_path: Path, exact: bool) -> None:
    big = 2**53 + (0 if exact else 1)
    shards(tmp_path, pa.array([big, None, 3]), pa.array([0.5, None]))
    pool = read(tmp_path)
    if exact:
        assert whole(pool)["x"] == [float(big), None, 3.0, 0.5, None]
        assert pool.info.mixed == {"x": "int64, double -> double"}
    else:
        assert whole(pool)["x"] == [str(big), None, "3", "0.5", None]
        assert pool.info.mixed == {"x": "int64, double -> string"}


def test_whole_numbers_of_one_shard_stay_exact_over_its_batches(tmp_path: Path) -> None:
    filler = "x" * 1000
    rows = [{"id": f"r{row}", "text": filler, "x": 2**53 + 1 if row < 5000 else 0.5} for row in range(5010)]
    lines(tmp_path / "pool" / "a.jsonl", rows)
    found = whole(read(tmp_path))["x"]
    assert (found[0], found[-1]) == (str(2**53 + 1), "0.5")


@pytest.mark.parametrize(
    ("one", "other", "kind", "values"),
    [
        (
            pa.array([1, 2]),
            pa.array([2**63 + 1], pa.uint64()),
            "decimal128(20, 0)",
            [Decimal(1), Decimal(2), 2**63 + 1],
        ),
        (pa.array([Decimal("1.25")]), pa.array([2**62 + 1]), "decimal128(21, 2)", [Decimal("1.25"), 2**62 + 1]),
        (pa.array([2**31 - 1], pa.int32()), pa.array([1.5], pa.float32()), "double", [2**31 - 1, 1.5]),
        (pa.array([{"a": 2**53 + 1}]), pa.array([{"a": 0.5}]), "string", ['{"a": 9007199254740993}', '{"a": 0.5}']),
        (pa.array([[{"a": 1}]]), pa.array([[{"a": 0.5}]]), "list<item: struct<a: double>>", [[{"a": 1}], [{"a": 0.5}]]),
        (
            pa.array([10**15], pa.timestamp("ms")),
            pa.array([1], pa.timestamp("ns")),
            "string",
            ["1000000000000000 ms since 1970-01-01", "1970-01-01 00:00:00.000000001"],
        ),
        (
            pa.array([{"l": "en"}]),
            pa.array([{"l": "de"}], pa.struct([("l", pa.dictionary(pa.int32(), pa.string()))])),
            "struct<l: string>",
            [{"l": "en"}, {"l": "de"}],
        ),
        (
            pa.array([{"x": 1}], pa.struct([pa.field("x", pa.int64(), nullable=False)])),
            pa.array([{"y": 2}, None]),
            "struct<x: int64, y: int64>",
            [{"x": 1, "y": None}, {"x": None, "y": 2}, None],
        ),
        (
            pa.array([[("k", 1)], None], pa.map_(pa.string(), pa.int32())),
            pa.array([[("k", 2.5)]], pa.map_(pa.string(), pa.float64())),
            "map<string, double>",
            [[("k", 1.0)], None, [("k", 2.5)]],
        ),
    ],
)
@pytest.mark.long
def test_columns_of_several_types_get_one_that_holds_every_value(
    tmp_path: Path, one: pa.Array, other: pa.Array, kind: str, values: list[Any]
) -> None:
    for place, pair in (("forth", (one, other)), ("back", (other, one))):
        pool = read(shards(tmp_path / place, *pair))
        assert not reasons(pool)
        found = whole(pool)["x"]
        expected = values if place == "forth" else values[len(one) :] + values[: len(one)]
        assert found == expected
        if place == "forth":
            assert pool.info.payload["x"] == kind


def test_a_decimal_beside_doubles_is_refused_by_name(tmp_path: Path) -> None:
    pool = read(shards(tmp_path, pa.array([Decimal("1.25")]), pa.array([0.1])))
    assert reasons(pool) == {"1.parquet": "type mismatch: 'x' is double, but decimal128(3, 2) in 0.parquet"}


def test_a_uuid_is_its_text_also_inside(tmp_path: Path) -> None:
    ids = pa.ExtensionArray.from_storage(pa.uuid(), pa.array([b"\x01" * 16, b"\xff" * 16], pa.binary(16)))
    nested = pa.StructArray.from_arrays([ids], ["u"])
    write(tmp_path / "pool" / "a.parquet", pa.table({"id": ids, "text": ["x", "y"], "s": nested}))
    found = whole(read(tmp_path))
    assert found["id"] == ["01010101-0101-0101-0101-010101010101", "ffffffff-ffff-ffff-ffff-ffffffffffff"]
    assert found["s"] == [{"u": value} for value in found["id"]]


def test_bytes_that_are_utf8_are_texts(tmp_path: Path) -> None:
    columns = {
        "id": pa.array([b"a", b"\xff\x00", b"c"]),
        "text": pa.array([b"gr\xc3\xbcn", b"red", b"\xff"]),
        "lang": pa.array([b"de", b"en", b"en"]),
        "raw": pa.array([b"a", b"b", b"c"]),
    }
    write(tmp_path / "pool" / "a.parquet", columns)
    pool = read(tmp_path, text="text", groups=["lang"])
    found = whole(pool)
    assert (found["id"], found["text"], found["raw"]) == (["a", "ff00"], ["grün", "red"], [b"a", b"b"])
    assert found["lang"] == found["group.lang"] == ["de", "en"]
    assert pool.text(pool.blocks[0]).to_pylist() == ["grün", "red"]
    assert refused(pool) == [(0, 2, "unparsable row")]
    assert pool.quarantine()["detail"].to_pylist() == ["'text' is not UTF-8"]


def test_a_csv_that_begins_with_blank_lines_keeps_its_rows(tmp_path: Path) -> None:
    (tmp_path / "pool").mkdir()
    for name, begin in (("a", b"\n"), ("b", b"\xef\xbb\xbf\r\n\r\n"), ("c", b"")):
        rows = "".join(f"{name}{row},text {row}\r\n" for row in range(40))
        (tmp_path / "pool" / f"{name}.csv").write_bytes(begin + f"id,text\r\n{rows}".encode())
    pool = read(tmp_path)
    assert pool.info.read == pool.rows == 120
    assert whole(pool)["id"][40:42] == ["b0", "b1"]


@pytest.mark.parametrize(
    ("quoted", "row", "why"),
    [
        (False, '"stray,text', "unexpected end of data in the record at line 102"),
        (True, '"stray,text', "',' expected after '\"' in the record at line 102"),
        (False, '"stray,text\r\n7,"b', "',' expected after '\"' in the record at line 102"),
        (True, 'x,"a "quoted" word"', "',' expected after '\"' in the record at line 102"),
    ],
)
def test_a_csv_whose_quotes_do_not_match_is_refused_by_line(tmp_path: Path, quoted: bool, row: str, why: str) -> None:
    rows = [f'{at},"text {at}"' if quoted else f"{at},text {at}" for at in range(200)]
    rows[100] = row
    lines(tmp_path / "pool" / "a.csv", ["id,text", *rows])
    lines(tmp_path / "pool" / "b.csv", ["id,text", "1,x"])
    pool = read(tmp_path)
    assert pool.rows == 1
    assert reasons(pool)["a.csv"].startswith(f"unreadable shard: {why}")


def test_odd_but_plain_quotes_in_a_csv_stay(tmp_path: Path) -> None:
    lines(tmp_path / "pool" / "a.csv", ["id,text", '1,a 5" nail', '2,"say ""hi"""', '3,"two\nlines"', '4,"', '"', "5,"])
    pool = read(tmp_path)
    assert whole(pool)["text"] == ['a 5" nail', 'say "hi"', "two\nlines", "\n"][:3]
    assert refused(pool) == [(0, 3, "empty text"), (0, 4, "empty text")]


def test_bad_csv_rows_are_refused_in_every_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evenkeel.tasks.ingest.readers.csv._PIECE", 1 << 10)
    bad = {3, 170, 171, 399}
    for name, quoted in (("a", '"text\n{0}"'), ("b", "text {0}"), ("c", 'a 5" text {0}')):
        rows = [f"{name}{at}" if at in bad else f"{name}{at},{quoted.format(at)}" for at in range(400)]
        lines(tmp_path / "pool" / f"{name}.csv", ["id,text", *rows, ""])
    pool = read(tmp_path)
    assert refused(pool) == [(shard, row, "unparsable row") for shard in range(3) for row in sorted(bad)]
    kept = [f"{name}{at}" for name in "abc" for at in range(400) if at not in bad]
    assert whole(pool)["id"] == kept


@pytest.mark.parametrize("suffix", ["gz", "zst", "bz2", "xz"])
def test_a_compressed_file_of_no_bytes_is_refused(tmp_path: Path, suffix: str) -> None:
    lines(tmp_path / "pool" / "c.jsonl", [{"id": "a", "text": "x"}])
    (tmp_path / "pool" / f"a.jsonl.{suffix}").touch()
    assert "the file has 0 bytes" in reasons(read(tmp_path))[f"a.jsonl.{suffix}"]


@pytest.mark.parametrize("suffix", ["bz2", "xz"])
def test_what_follows_a_compressed_stream_is_read_or_refused(tmp_path: Path, suffix: str) -> None:
    compress: Callable[[bytes], bytes] = bz2.compress if suffix == "bz2" else lzma.compress
    parts = [compress(json.dumps({"id": f"{at}", "text": "x" * 300_000}).encode() + b"\n") for at in range(4)]
    (tmp_path / "pool").mkdir()
    (tmp_path / "pool" / f"a.jsonl.{suffix}").write_bytes(b"".join(parts))
    (tmp_path / "pool" / f"b.jsonl.{suffix}").write_bytes(parts[0] + b"damaged" + parts[1])
    (tmp_path / "pool" / f"c.jsonl.{suffix}").write_bytes(parts[0] + parts[1][:-9])
    pool = read(tmp_path)
    assert whole(pool)["id"] == ["0", "1", "2", "3"]
    assert set(reasons(pool)) == {f"b.jsonl.{suffix}", f"c.jsonl.{suffix}"}


def test_zstandard_of_the_longest_window_is_read(tmp_path: Path) -> None:
    content = json.dumps({"id": "a", "text": "x"}).encode()
    # a frame as `zstd --long=31` writes it: a window of 2 GiB, one raw block
    frame = b"\x28\xb5\x2f\xfd\x00" + bytes([21 << 3]) + (len(content) << 3 | 1).to_bytes(3, "little") + content
    (tmp_path / "pool").mkdir()
    (tmp_path / "pool" / "a.jsonl.zst").write_bytes(frame)
    assert whole(read(tmp_path))["id"] == ["a"]


@pytest.mark.parametrize("form", ["[%s]", "[\n%s\n]", " [%s\n]"])
def test_a_json_array_is_refused_by_name(tmp_path: Path, form: str) -> None:
    rows = [json.dumps({"id": str(at), "text": "x"}) for at in range(9)]
    lines(tmp_path / "pool" / "a.json", [form % ",\n".join(rows)])
    lines(tmp_path / "pool" / "b.jsonl", [{"id": "b", "text": "x"}, "[1]"])
    lines(tmp_path / "pool" / "c.jsonl", ["[1]", {"id": "c", "text": "x"}])
    pool = read(tmp_path)
    assert [*reasons(pool)] == ["a.json"]
    assert "a.json holds a JSON array, not JSON lines" in reasons(pool)["a.json"]
    assert refused(pool) == [(1, 1, "unparsable row"), (2, 0, "unparsable row")]


@pytest.mark.parametrize(
    "line",
    [
        "null",
        "[" * 500 + "]" * 500,
        '{"x": ' + "[" * 120_000,
        '{"x":' * 101 + "1" + "}" * 101,
        "5",
        '{"x": NaN}',
        '{"x": Infinity}',
    ],
)
@pytest.mark.parametrize("place", [0, 1])
def test_a_line_that_no_parser_survives_is_refused(tmp_path: Path, line: str, place: int) -> None:
    rows: list[Any] = [{"id": f"r{at}", "text": "[{" * 60, "deep": [[[[1]]]]} for at in range(3)]
    rows.insert(place, line)
    lines(tmp_path / "pool" / "a.jsonl", rows)
    pool = read(tmp_path)
    assert refused(pool) == [(0, place, "unparsable row")]
    assert whole(pool)["id"] == ["r0", "r1", "r2"]


def test_structs_without_fields_are_kept_as_json(tmp_path: Path) -> None:
    lines(tmp_path / "pool" / "a.jsonl", [{"id": "a", "text": "x", "m": {}, "n": [{"o": {}}]}])
    lines(tmp_path / "pool" / "b.jsonl", [{"id": "b", "text": "y", "m": {"k": 1}, "n": None}])
    found = whole(read(tmp_path))
    assert found["m"] == ["{}", '{"k": 1}']
    assert found["n"] == ['[{"o": {}}]', None]


def test_absurd_arrays_are_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "pool").mkdir()
    np.save(tmp_path / "pool" / "b.npy", np.ones((4, 2), np.float32))
    for name, shape in (("a", (3, 99_999_999_999_999)), ("c", (3, 0)), ("d", (2, 2))):
        with (tmp_path / "pool" / f"{name}.npy").open("wb") as stream:
            np.lib.format.write_array_header_1_0(stream, {"descr": "<f4", "fortran_order": False, "shape": shape})
            stream.write(np.ones(6, "<f4").tobytes())
    pool = read(tmp_path)
    assert pool.rows == 4
    assert set(reasons(pool)) == {"a.npy", "c.npy", "d.npy"}
    assert "8 bytes follow the array" in reasons(pool)["d.npy"]


def test_a_footer_that_hides_rows_is_refused(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write(
            tmp_path / "pool" / f"{name}.parquet",
            pa.table({"id": [f"{name}{at}" for at in range(6)], "text": ["x"] * 6}),
        )
    path = tmp_path / "pool" / "a.parquet"
    content = path.read_bytes()
    size = int.from_bytes(content[-8:-4], "little")
    footer = content[-8 - size : -8]
    at = footer.index(b"\x16\x0c\x19")  # field 3, num_rows: zigzag 6, before the list of row groups
    path.write_bytes(content[: -8 - size] + footer[:at] + b"\x16\x00\x19" + footer[at + 3 :] + content[-8:])
    assert pq.read_metadata(path).num_rows == 0
    pool = read(tmp_path)
    assert pool.rows == 6
    assert "the footer says 0 rows, its row groups 6" in reasons(pool)["a.parquet"]


def test_a_reader_that_skips_rows_is_found_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "pool" / "a.parquet", TEXTS)
    write(tmp_path / "pool" / "b.parquet", {"id": ["c"], "text": ["x"]})
    monkeypatch.setattr("evenkeel.tasks.ingest.readers.parquet.ParquetReader.count_rows", lambda *_: 1)
    pool = read(tmp_path)
    assert whole(pool)["id"] == ["c"]
    assert reasons(pool) == {"a.parquet": "unreadable shard: it says that it has 1 rows, and 2 were read"}


@pytest.mark.parametrize("role", [{"text": "v"}, {"id": "v"}, {"groups": ["v"]}, {"scores": ["v"]}])
def test_the_vector_is_no_other_column(role: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="both name the column 'v'"):
        SourceConfig(uri="pool", vector="v", **role)


def test_a_guessed_vector_is_said_and_stays_a_column(tmp_path: Path) -> None:
    rows = [{"id": f"r{at}", "text": "x", "bbox": [1.0 + at, 2.0, 3.5, 4.0]} for at in range(3)]
    lines(tmp_path / "pool" / "a.jsonl", rows)
    heard: list[str] = []
    run = run_at(tmp_path)
    run = type(run)(run.workspace, run.dataset, run.scratch, run.compute, lambda _, message: heard.append(message))
    ref = INGEST(ingest_request(SourceConfig(uri=str(tmp_path / "pool"))), NoInputs(), run)
    [note] = ref.facts["notes"]
    assert note.startswith("column 'bbox' was guessed to be the vector, texts are not embedded")
    assert "source.guess_vector: false" in note
    assert note in heard[-1]
    pool = Pool.open(ref, tmp_path / "scratch")
    assert pool.info.vector == "bbox"
    assert whole(pool)["bbox"] == [row["bbox"] for row in rows]
    plain = read(tmp_path, guess_vector=False)
    assert plain.info.vector is None
    assert whole(plain)["bbox"] == whole(pool)["bbox"]
    named = read(tmp_path, vector="bbox")
    assert named.info.vector == "bbox"
    assert "bbox" not in named.info.payload


def test_lists_of_many_lengths_are_no_vectors(tmp_path: Path) -> None:
    lines(tmp_path / "pool" / "a.jsonl", [{"id": f"r{at}", "text": "x", "p": [0.5] * (1 + at % 5)} for at in range(20)])
    pool = ingest(tmp_path, uri=str(tmp_path / "pool"))
    assert (pool.rows, pool.info.vector) == (20, None)
    lines(tmp_path / "pool" / "a.jsonl", [{"id": f"r{at}", "text": "x", "p": [0.5] * (1 + at % 2)} for at in range(20)])
    with pytest.raises(QuarantineLimitError, match=r"column 'p' was guessed to be the vector.*guess_vector: false"):
        ingest(tmp_path, uri=str(tmp_path / "pool"))


def test_whatever_a_reader_raises_refuses_that_shard_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from evenkeel.tasks.ingest.readers import jsonl

    lines(tmp_path / "pool" / "a.jsonl", [{"id": "a", "text": "x"}])
    lines(tmp_path / "pool" / "b.jsonl", [{"id": "b", "text": "y"}])
    sound = jsonl._batch

    def broken(piece: bytes, first: int) -> Any:
        if b'"b"' in piece:
            raise RuntimeError("a fault of ours")
        return sound(piece, first)

    monkeypatch.setattr(jsonl, "_batch", broken)
    pool = read(tmp_path)
    assert whole(pool)["id"] == ["a"]
    assert reasons(pool) == {"b.jsonl": "unreadable shard: RuntimeError: a fault of ours"}


def test_a_gzip_that_is_cut_short_is_refused(tmp_path: Path) -> None:
    lines(tmp_path / "pool" / "a.jsonl", [{"id": "a", "text": "x"}])
    whole_file = gzip.compress(b'{"id": "b", "text": "x"}\n' * 999)
    (tmp_path / "pool" / "b.jsonl.gz").write_bytes(whole_file[:-9])
    assert set(reasons(read(tmp_path))) == {"b.jsonl.gz"}


def test_names_with_marks_and_colons_are_names(tmp_path: Path) -> None:
    for name in ("a::b.jsonl", "c[1].jsonl", "d*.jsonl"):
        lines(tmp_path / "pool" / name, [{"id": name, "text": "x"}])
    assert whole(read(tmp_path))["id"] == ["a::b.jsonl", "c[1].jsonl", "d*.jsonl"]
    for name in ("a::b.jsonl", "c[1].jsonl", "d*.jsonl"):
        assert whole(ingest(tmp_path, uri=str(tmp_path / "pool" / name)))["id"] == [name]


def test_a_name_that_is_no_text_is_named(tmp_path: Path) -> None:
    (tmp_path / "pool").mkdir()
    Path(f"{tmp_path}/pool/caf\udce9.jsonl").write_text('{"id": "a", "text": "x"}\n')
    with pytest.raises(InputError, match=r"(?s)not UTF-8.*udce9"):
        read(tmp_path)


def test_numbers_that_no_double_holds_are_refused(tmp_path: Path) -> None:
    rows = ['{"id": "a", "text": "x", "n": 1e400}', '{"id": "b", "text": "x", "n": 1.5}']
    lines(tmp_path / "pool" / "a.jsonl", rows)
    lines(tmp_path / "pool" / "b.csv", ["id,text,n", "c,x,1_000", "d,x,1000"])
    pool = read(tmp_path, scores=["n"])
    assert whole(pool)["id"] == ["b", "d"]
    assert refused(pool) == [(0, 0, "unparsable row"), (1, 0, "score not a number")]


def test_blocks_are_bounded_by_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evenkeel.tasks.ingest.shard.BLOCK_BYTES", 40_000)
    monkeypatch.setattr("evenkeel.tasks.ingest.readers.parquet.BATCH_BYTES", 20_000)
    texts = [f"{row} " + "x" * 4000 for row in range(50)]
    ids = [f"r{row}" for row in range(50)]
    write(tmp_path / "pool" / "a.parquet", pa.table({"id": ids, "text": pa.array(texts, pa.large_string())}))
    pool = read(tmp_path)
    assert whole(pool)["id"] == ids
    assert max(pool.payload(block).nbytes for block in pool.blocks) < 70_000
    assert sum(block.rows for block in pool.blocks) == 50
