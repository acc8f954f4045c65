"""Sections come back a few at a time, and a flipped bit among those that are read is found."""

from pathlib import Path

import pyarrow as pa
import pytest

from evenkeel.infra import sections, storage, tables
from evenkeel.infra.errors import DamagedFile

PARTS = [b"one", b"", b"three" * 40, b"4"]


@pytest.fixture(params=["local", "memory"])
def uri(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return (
        str(tmp_path / "keys.bin") if request.param == "local" else f"memory://{tmp_path.name}-{id(request)}/keys.bin"
    )


def test_sections_come_back_in_any_run(uri: str) -> None:
    sections.write_sections(uri, PARTS)
    for first in range(5):
        for last in range(first, 5):
            assert [bytes(part) for part in sections.read_sections(uri, first, last)] == PARTS[first:last]


def test_a_head_longer_than_the_first_read_is_read_whole(uri: str) -> None:
    many = [bytes([number % 256]) * (number % 3) for number in range(2000)]
    sections.write_sections(uri, many)
    assert [bytes(part) for part in sections.read_sections(uri, 0, 2000)] == many
    assert [bytes(part) for part in sections.read_sections(uri, 1999, 2000)] == many[1999:]


def test_a_flipped_bit_is_found_wherever_it_is(uri: str) -> None:
    sections.write_sections(uri, PARTS)
    content = storage.read_bytes(uri)
    for bit in range(0, 8 * len(content), 7):
        changed = bytearray(content)
        changed[bit // 8] ^= 1 << bit % 8
        storage.write_bytes(uri, bytes(changed))
        with pytest.raises(DamagedFile, match=r"keys\.bin"):
            sections.read_sections(uri, 0, 4)


def test_a_file_that_is_cut_short_is_damaged_and_one_that_is_not_there_is_missing(uri: str) -> None:
    sections.write_sections(uri, PARTS)
    content = storage.read_bytes(uri)
    for size in range(0, len(content), 9):
        storage.write_bytes(uri, content[:size])
        with pytest.raises(DamagedFile):
            sections.read_sections(uri, 0, 4)
    with pytest.raises(FileNotFoundError):
        sections.read_sections(f"{uri}.missing", 0, 1)


def test_a_record_batch_is_a_section() -> None:
    batch = pa.record_batch({"row_id": pa.array(range(100), pa.uint64()), "text": [f"row {i}" for i in range(100)]})
    assert tables.read_batch(tables.write_batch(batch.slice(20, 30))).equals(batch.slice(20, 30))
    assert tables.write_batch(batch.slice(0, 0)) == b""
