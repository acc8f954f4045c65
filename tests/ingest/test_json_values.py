"""What stands in JSON is what is read, at every depth; what is no JSON, or no UTF-8, refuses its line alone."""

from pathlib import Path

import pytest

from tests.ingest.pools import ingest, refused, whole


def read(folder: Path, *lines: bytes) -> tuple[list[object], list[int]]:
    """Return the values `v` of the rows of a file that are in the pool, and the rows that are refused."""
    (folder / "pool").mkdir()
    (folder / "pool" / "a.jsonl").write_bytes(b"".join(b'{"v": %s}\n' % line for line in lines))
    pool = ingest(folder, uri=str(folder / "pool"), max_quarantined=1.0, guess_vector=False)
    return whole(pool)["v"], [row for _, row, _ in refused(pool)]


@pytest.mark.parametrize("form", [b"%s", b"[%s]", b'{"w": [[%s]]}'])
def test_what_is_no_number_is_refused_at_every_depth(tmp_path: Path, form: bytes) -> None:
    bad = [b"NaN", b"-NaN", b"Inf", b"Infinity", b"-Infinity", b"1e999"]
    values, rows = read(tmp_path, form % b"1.5", *(form % number for number in bad), form % b"2.5")
    assert rows == [1, 2, 3, 4, 5, 6]
    assert len(values) == 2


@pytest.mark.parametrize("form", [b"%s", b"[%s]", b'{"w": [[%s]]}'])
def test_whole_numbers_too_long_for_a_double_stay_exact_at_every_depth(tmp_path: Path, form: bytes) -> None:
    values, rows = read(tmp_path, form % b"9007199254740993", form % b"0.5", form % b"123123123123123123123123123123")
    assert rows == []
    assert [str(value) for value in values] == [
        (form % number).decode() for number in (b"9007199254740993", b"0.5", b"123123123123123123123123123123")
    ]


def test_what_is_no_utf8_refuses_its_line(tmp_path: Path) -> None:
    values, rows = read(tmp_path, b'"x"', b'"\xed\xa0\x80"', b'{"\xed\xa0\x80": 1}', b'"\xff"', b'"\\ud800"', b'"y"')
    assert values == ["x", "y"]
    assert rows == [1, 2, 3, 4]
