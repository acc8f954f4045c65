"""What becomes of every file of other projects' test suites, as this repository expects it: none of the files is here.

The suites are checkouts in one folder, which the user names: `make test-suites DIR=FOLDER`. A file that the table does
not know fails its test; `python -m tests.suites.outcomes FOLDER` writes the table anew, to be read before a commit.
"""

import csv
import re
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from evenkeel.infra.compute import Compute
from evenkeel.infra.errors import NothingLeftError
from evenkeel.tasks.ingest.pool import Pool
from tests.ingest.pools import ingest

TABLE = Path(__file__).parent / "outcomes.tsv"
PARQUET, JSON, CSV = "parquet-testing", "JSONTestSuite", "csv-spectrum"
SOUND = b'{"id": "sound", "v": "x"}\n'


class Outcome(NamedTuple):
    """How many rows of a file were read and kept, and the reason of what was not: a shard's, or the rows' reasons."""

    read: int
    kept: int
    why: str


def read_file(path: Path, form: str, folder: Path) -> tuple[Outcome, Pool | None]:
    """Return what becomes of a file that is a source of its own, and the pool, None where no row is left."""
    compute = Compute(threads=1, isolated=True)
    try:
        pool = ingest(folder, compute, uri=str(path), format=form, max_quarantined=1.0, guess_vector=False)
    except NothingLeftError as error:
        read = re.search(r"with ([\d,]+) rows", error.found or "")
        why = (error.where or "").split("; ")[-1].replace(str(path), "")
        return Outcome(int(read[1].replace(",", "")) if read else 0, 0, why.removeprefix(": ")), None
    reasons = ", ".join(f"{rows} {reason}" for reason, rows in pool.info.reasons.items())
    return Outcome(pool.info.read, pool.rows, reasons), pool


def read_json(document: bytes, folder: Path, joined: bool = True) -> tuple[Outcome, object]:
    """Return what becomes of a JSON document as a value between two sound rows, and the value, None where refused.

    joined: its lines are put into one, as JSON allows wherever blanks may stand.
    """
    (folder / "pool").mkdir(parents=True)
    path = folder / "pool" / "a.jsonl"
    value = document.replace(b"\r", b" ").replace(b"\n", b" ") if joined else document
    path.write_bytes(SOUND + b'{"id": "it", "v": ' + value + b"}\n" + SOUND.replace(b"sound", b"other"))
    outcome, pool = read_file(path, "jsonl", folder)
    if pool is None:
        return outcome, None
    rows = [row for block in pool.blocks for row in pool.payload(block).to_pylist()]
    return outcome, next((row["v"] for row in rows if row["id"] == "it"), None)


def parquet_files(suites: Path) -> list[Path]:
    """Return the Parquet files of apache/parquet-testing, encrypted ones too."""
    found = sorted((suites / PARQUET).rglob("*.parquet*"))
    return [path for path in found if path.name.endswith((".parquet", ".parquet.encrypted"))]


def open_json_files(suites: Path) -> list[Path]:
    """Return the documents of JSONTestSuite of which the suite leaves open what becomes of them."""
    return sorted(
        [*(suites / JSON / "test_parsing").glob("i_*.json"), *(suites / JSON / "test_transform").glob("*.json")]
    )


def known() -> dict[str, Outcome]:
    """Return the table, by suite and file."""
    with TABLE.open(newline="") as stream:
        rows = csv.DictReader(stream, delimiter="\t")
        return {row["file"]: Outcome(int(row["read"]), int(row["kept"]), row["why"]) for row in rows}


def main(suites: Path) -> None:
    """Write the table from checkouts."""
    with tempfile.TemporaryDirectory() as place, TABLE.open("w", newline="") as stream:
        table = csv.writer(stream, delimiter="\t", lineterminator="\n")
        table.writerow(["file", *Outcome._fields])
        for number, path in enumerate([*parquet_files(suites), *open_json_files(suites)]):
            folder = Path(place, str(number))
            if PARQUET in path.parts:
                outcome, _ = read_file(path, "parquet", folder)
            else:
                outcome, _ = read_json(path.read_bytes(), folder)
            table.writerow([path.relative_to(suites).as_posix(), *outcome])


if __name__ == "__main__":
    main(Path(sys.argv[1]))
