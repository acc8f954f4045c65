"""A list of ids that is read wrongly publishes what must not be published: it is read right, or the run stops."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from evenkeel.infra.errors import InputError
from evenkeel.tasks.dedup.config import IdList
from evenkeel.tasks.dedup.lists import read_texts


def ids(path: Path) -> set[str]:
    return {one for part in read_texts(IdList(uri=str(path)), "id", path.parent) for one in part.to_pylist()}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.txt", b"\xef\xbb\xbfr1\r\n\r\nr2\r\n"),
        ("a.txt", b"r1\nr2"),
        ("a.csv", b"\xef\xbb\xbf\nid,why\nr1,x\nr2,y\n"),
        ("a.jsonl", b'\xef\xbb\xbf{"id": "r1"}\n{"id": "r2"}\n'),
        ("a.json", b'\xef\xbb\xbf{"ids": ["r1", "r2"]}'),
    ],
)
def test_a_list_is_read_as_its_editor_saved_it(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    assert ids(tmp_path / name) == {"r1", "r2"}


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("a.txt", "r1\nr2\n".encode("utf-16"), "UTF-16.*line 1"),
        ("a.txt", "r1\nr2\n".encode("utf-16-le"), "zero byte.*line 1"),
        ("a.txt", b"r1\nr\xe92\n", "not UTF-8"),
        ("a.jsonl", b'{"id": "r1"}\n{"id": "r2"\n{"id": "r3"}\n', "do not parse.*row 1"),
        ("a.jsonl", b'{"id": "r1"}\n{"ID": "r2"}\n', "names no id.*row 1"),
        ("a.csv", b"id,why\nr1,x\nr2\n", "do not parse.*row 1"),
        ("a.csv", b'id,why\n"r1,x\nr2,y\n', "cannot be read"),
        ("a.json", b'["r1", "r2"]', "JSON array"),
        ("a.jsonl", b'{"id": 9007199254740993.0}\n', "rounded"),
    ],
)
def test_a_list_that_cannot_be_read_stops_the_run(tmp_path: Path, name: str, content: bytes, why: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=f"(?s){why}") as error:
        ids(tmp_path / name)
    assert name in str(error.value)


@pytest.mark.parametrize(
    ("column", "wanted"),
    [
        (pa.array([b"r1", b"\xff"]), {"r1", "7231", "ff"}),
        (pa.array([1.0, 2.0]), {"1", "2"}),
        (pa.array([1, 2]), {"1", "2"}),
        (pa.array(["r1", "r2"]).dictionary_encode(), {"r1", "r2"}),
    ],
)
def test_ids_are_named_in_every_form_a_pool_may_hold(tmp_path: Path, column: Any, wanted: set[str]) -> None:
    pq.write_table(pa.table({"id": column}), tmp_path / "a.parquet")
    assert wanted <= ids(tmp_path / "a.parquet")


def test_a_uuid_is_its_text(tmp_path: Path) -> None:
    pq.write_table(
        pa.table({"id": pa.ExtensionArray.from_storage(pa.uuid(), pa.array([b"\x01" * 16], pa.binary(16)))}),
        tmp_path / "a.parquet",
    )
    assert ids(tmp_path / "a.parquet") == {"01010101-0101-0101-0101-010101010101"}


def test_a_takedown_file_of_ours_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps({"ids": ["r1"], "reason": "asked"}))
    assert ids(tmp_path / "a.json") == {"r1"}
