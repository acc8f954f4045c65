"""The CSV reader against Python's strict parser: the same rows and rejects, or a refusal, whatever the bytes."""

import csv
import io
import random
from pathlib import Path

import pytest

from evenkeel.tasks.ingest.reader import LocalShard, ShardUnreadable, read_batches

PARTS = ["a", 'b"', '"', '""', ",", "\n", "\r\n", 'x"y', '"q"', '"q\n"', " "]
RECORDS = ["a,b\n", '"a","b"\n', '"a""c","b\nd"\r\n']


def expected(text: str) -> list[list[str]] | None:
    try:
        return [row for row in csv.reader(io.StringIO(text, newline=""), strict=True) if row][1:]
    except csv.Error:
        return None


def found(path: Path) -> tuple[dict[int, list[str]], list[int]] | None:
    rows: dict[int, list[str]] = {}
    rejects: list[int] = []
    try:
        for batch in read_batches("csv", LocalShard(path, 1 << 16)):
            for number, row in zip(batch.rows.tolist(), batch.table.to_pylist(), strict=True):
                rows[number] = [row["h"] or "", row["i"] or ""]
            rejects += [number for number, _ in batch.rejects]
    except ShardUnreadable:
        return None
    return rows, sorted(rejects)


@pytest.mark.long
def test_no_row_of_a_mutated_csv_vanishes_or_is_made_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    draw, path, refused = random.Random(11), tmp_path / "a.csv", 0
    for _ in range(400):
        monkeypatch.setattr("evenkeel.tasks.ingest.readers.csv._PIECE", draw.choice([3, 17, 50, 8 << 20]))
        parts = [draw.choice(PARTS if draw.random() < 0.4 else RECORDS) for _ in range(draw.randint(0, 20))]
        text = draw.choice(["", "\n"]) + "h,i\n" + "".join(parts)
        path.write_bytes(draw.choice([b"", b"\xef\xbb\xbf"]) + text.encode())
        rows = expected(text)
        refused += rows is None
        sound = None if rows is None else {at: row for at, row in enumerate(rows) if len(row) == 2}
        bad = None if rows is None else [at for at, row in enumerate(rows) if len(row) != 2]
        assert found(path) == (None if rows is None else (sound, bad)), text
    assert 50 < refused < 350
