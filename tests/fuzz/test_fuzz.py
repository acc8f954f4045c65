"""Damaged files of every format: nothing crashes or hangs, every row is accounted for, and no damage is read as rows.

`make fuzz FILES=1000000` tries as many as there is time for.
"""

import random
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from evenkeel.infra.errors import InputError
from evenkeel.tasks.ingest.harvest import harvest
from evenkeel.tasks.ingest.id_files import ids_of_column
from evenkeel.tasks.ingest.listing import ListedShard
from evenkeel.tasks.ingest.lists import read_strings
from tests.examples import most
from tests.fuzz import peers, seeds
from tests.fuzz.batches import FILES, Batch, Fault, Tally, run
from tests.fuzz.mutations import mutate
from tests.fuzz.targets import TARGETS

pytestmark = pytest.mark.slow
BATCHES = 4


@pytest.mark.parametrize("name", TARGETS)
def test_rows_of_damaged_files_are_kept_or_refused_once(name: str, tmp_path: Path) -> None:
    total = Tally()
    for seed in range(BATCHES):
        total.add(run(Batch.drawn(TARGETS[name], seed), tmp_path / str(seed)))
    assert total.files == BATCHES * FILES == total.whole + total.part + total.refused
    assert total.ended == 0
    assert total.refused + total.part > BATCHES
    assert total.whole > BATCHES  # more than the sound ones


@pytest.mark.parametrize(
    ("place", "found"), [("_parse", "rows, and . by another reading"), ("_header", "by another reading")]
)
def test_a_fault_of_a_reader_would_be_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str, found: str
) -> None:
    from evenkeel.tasks.ingest.readers import csv

    parse, header = csv._parse, csv._header

    def losing(*asked: Any) -> Any:
        batch = parse(*asked)
        return replace(batch, rows=batch.rows[:-1], table=batch.table.slice(0, len(batch.rows) - 1))

    def swapping(*asked: Any) -> list[str]:
        names = header(*asked)
        return [names[1], names[0], *names[2:]]

    monkeypatch.setattr(csv, place, losing if place == "_parse" else swapping)
    monkeypatch.setattr("tests.fuzz.batches.ISOLATED", False)
    with pytest.raises(Fault, match=found):
        run(Batch.drawn(TARGETS["csv"], 0, 2), tmp_path / "run")


def ids_by_another_reading(suffix: str, content: bytes) -> list[str] | None:
    """Return the ids of a list; None where it is damaged."""
    try:
        if suffix == ".txt":
            return content.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n").removesuffix("\n").split("\n")
        rows = peers.json_rows(content) if suffix == ".jsonl" else peers.csv_rows(content, ",")
    except Exception:  # whatever the libraries say of damage
        return None
    found = [None if row is None else row.get("id") for row in rows]
    return None if None in found or "" in found else [str(one) for one in found]


def test_a_damaged_list_of_ids_names_the_same_rows_or_is_an_error(tmp_path: Path) -> None:
    draw, read = random.Random(5), 0
    for number in range(most(1200)):
        suffix, content = seeds.id_list(number)
        damaged = mutate(draw, content, [seeds.id_list(number + 3)[1]])
        path = tmp_path / f"{number}{suffix}"
        path.write_bytes(damaged)
        form = "jsonl" if suffix == ".jsonl" else "csv"
        file = ListedShard(uri=str(path), name=path.name, format=form, bytes=len(damaged), fingerprint="")
        try:
            parts = [ids_of_column(part, path.name) for part in read_strings(file, "id", tmp_path, "the list")]
        except InputError:
            continue
        theirs = ids_by_another_reading(suffix, damaged)
        assert theirs is not None or not parts, damaged
        ours = [one for part in parts for one in part.to_pylist()]
        assert ours == theirs or (not any(ours) and not any(theirs or [])), damaged
        read += 1
    assert read > most(1200) // 10


def test_damaged_python_files_are_harvested_or_counted(tmp_path: Path) -> None:
    draw, files = random.Random(6), []
    for number in range(most(2400)):
        path = tmp_path / f"m{number}.py"
        path.write_bytes(mutate(draw, seeds.python(number), [seeds.python(number + 1)]))
        files.append((str(path), path.name, path.stem))
    with warnings.catch_warnings(action="ignore"):
        counts = harvest(str(tmp_path / "out.parquet"), files)
    assert counts["files"] == len(files)
    assert 0 < counts["unparsable"] < len(files)
    table = pq.read_table(tmp_path / "out.parquet")
    assert table.num_rows == counts["docstrings"]
    table.validate(full=True)
