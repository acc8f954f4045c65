"""What fuzzing found: damage that was said where it should not be, believed, or taken for an empty file."""

import bz2
import lzma
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.ingest.pools import ingest, refused


def refusals(folder: Path) -> dict[str, str]:
    """Return why shards are refused, beside a sound one."""
    (folder / "pool" / "sound.csv").write_text("id,text\n1,x\n")
    pool = ingest(folder, uri=str(folder / "pool"), max_quarantined=1.0, text="text")
    assert pool.rows == 1
    return {shard.name: shard.reason for shard in pool.shards if shard.reason}


def test_a_csv_that_is_not_utf8_is_refused_by_line_and_nothing_is_printed(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "pool").mkdir()
    (tmp_path / "pool" / "a.csv").write_bytes(b"\n\nid,text\n1,x\n2,\xff,too many\n3,y\n")
    (tmp_path / "pool" / "b.csv").write_bytes(b"\xef\xbb")  # half a byte order mark, and nothing else
    (tmp_path / "pool" / "c.csv").write_bytes(b"\xef\xbb\xbf\n\n")  # an empty file
    assert refusals(tmp_path) == {
        "a.csv": "unreadable shard: line 5 is not UTF-8: invalid start byte 0xff",
        "b.csv": "unreadable shard: line 1 is not UTF-8: unexpected end of data 0xef",
    }
    assert capfd.readouterr() == ("", "")


def test_rows_that_a_small_file_cannot_hold_are_not_believed(tmp_path: Path) -> None:
    (tmp_path / "pool").mkdir()
    with (tmp_path / "pool" / "a.npy").open("wb") as stream:
        np.lib.format.write_array_header_1_0(stream, {"descr": "<f4", "fortran_order": False, "shape": (10**15, 2)})
    assert refusals(tmp_path) == {"a.npy": "missing column: 'text'"}


def test_a_header_as_python_2_wrote_it_is_read_without_a_word(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.ones((3, 2), np.float32))
    path = tmp_path / "a.npy"
    path.write_bytes(path.read_bytes().replace(b"(3, 2), }  ", b"(3L, 2L), }"))
    assert ingest(tmp_path, uri=str(path)).rows == 3


@pytest.mark.parametrize(
    ("suffix", "zeros", "sound"), [("xz", 4, True), ("xz", 300_000, True), ("xz", 3, False), ("bz2", 4, False)]
)
def test_zeros_behind_a_compressed_stream_are_padding_where_the_format_has_it(
    tmp_path: Path, suffix: str, zeros: int, sound: bool
) -> None:
    (tmp_path / "pool").mkdir()
    compress: Callable[[bytes], bytes] = lzma.compress if suffix == "xz" else bz2.compress
    content = compress(b"id,text\n2,y\n") + b"\0" * zeros + compress(b"3,z\n")
    (tmp_path / "pool" / f"a.csv.{suffix}").write_bytes(content)
    (tmp_path / "pool" / "sound.csv").write_text("id,text\n1,x\n")
    pool = ingest(tmp_path, uri=str(tmp_path / "pool"), max_quarantined=1.0)
    assert pool.rows == (3 if sound else 1)
    assert (f"{zeros} zero bytes follow a stream" in pool.shards[0].reason) is not sound


@pytest.mark.parametrize("value", ["{}", "5", "true", '{"a": 1}', '["1.5", "2.5"]', "[[1.5], [2.5]]", '[{"x": 1}]'])
def test_what_is_no_vector_in_a_piece_of_its_own_refuses_its_rows(tmp_path: Path, value: str) -> None:
    (tmp_path / "pool").mkdir()
    rows = "".join(f'{{"id": "{row}", "v": [{row}.5, 1.0]}}\n' for row in range(3))
    (tmp_path / "pool" / "a.jsonl").write_text(f'{rows}{{"id": "last", "v": {value}}}')  # no line end: a piece alone
    (tmp_path / "pool" / "b.csv").write_text('id,v\ntext,"[""1.5"", ""2.5""]"\n')
    pool = ingest(tmp_path, uri=str(tmp_path / "pool"), vector="v", max_quarantined=1.0)
    assert refused(pool) == [(0, 3, "unparsable vector"), (1, 0, "unparsable vector")]
    assert pool.rows == 3


@pytest.mark.parametrize("suffix", ["gz", "zst", "bz2", "xz"])
def test_a_compressed_file_of_zeros_is_no_empty_one(tmp_path: Path, suffix: str) -> None:
    (tmp_path / "pool").mkdir()
    for size in (64, 70, 4096):  # what a full disk leaves; 70 zeros are an empty file of the older format .lzma
        (tmp_path / "pool" / f"{size}.csv.{suffix}").write_bytes(b"\0" * size)
    assert set(refusals(tmp_path)) == {f"{size}.csv.{suffix}" for size in (64, 70, 4096)}
