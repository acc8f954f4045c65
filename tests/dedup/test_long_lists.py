"""What preparing an exclusion list takes of the driver's memory does not grow with the list."""

import json
import resource
import subprocess
import sys
from pathlib import Path
from typing import cast

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from evenkeel.tasks.dedup import exclude
from evenkeel.tasks.dedup.config import TextList, VectorList
from evenkeel.tasks.embed.vectors import Vectors
from evenkeel.tasks.step import Run
from tests.dedup.test_exclude import excluded, sentence
from tests.embed.pools import make_pool, new_run

FEW, MANY = 140_000, 1_000_000
WORDS = 14


@pytest.mark.long
def test_a_list_in_parts_excludes_what_it_does_in_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, texts = new_run(tmp_path), [sentence(row) for row in range(60)]
    changed = " ".join(["other", *texts[20].split()[1:]])
    pool = make_pool(run, tmp_path / "pool", {"id": [str(row) for row in range(60)], "text": texts})
    listed = [texts[3], *(sentence(row) for row in range(900, 930)), changed, texts[40]]
    for number, start in enumerate(range(0, len(listed), 5)):
        pq.write_table(pa.table({"text": listed[start : start + 5]}), tmp_path / f"old-{number}.parquet")
    old = str(tmp_path / "old-*.parquet")
    whole = [excluded(run, pool, TextList(uri=old))[1], excluded(run, pool, VectorList(uri=old, text="text"))[1]]
    monkeypatch.setattr(exclude, "ROWS_PER_PART", 7)
    other = Run(str(tmp_path / "parts"), run.dataset, run.scratch)
    parts = [excluded(other, pool, TextList(uri=old))[1], excluded(other, pool, VectorList(uri=old, text="text"))[1]]
    assert parts == whole
    assert whole[0] == {3, 20, 40}


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_target_of_a_million_rows_takes_no_more_of_the_driver_than_one_of_a_seventh(tmp_path: Path) -> None:
    rng, words = np.random.default_rng(0), np.array([f"w{n}" for n in range(5000)])
    for start in range(0, MANY, FEW // 2):
        texts = pa.array([" ".join(one) for one in words[rng.integers(0, len(words), (FEW // 2, WORDS))]])
        pq.write_table(pa.table({"text": texts}), tmp_path / f"{start:07d}.parquet")
    files = sorted(str(path) for path in tmp_path.glob("*.parquet"))
    few, many = (_peak(some, tmp_path / f"of-{len(some)}") for some in (files[:2], files))
    assert few["rows"] == FEW
    assert many["rows"] >= MANY
    assert many["bytes"] < few["bytes"] + 64e6, (few, many)


def _peak(files: list[str], folder: Path) -> dict[str, float]:
    """Prepare a list in a process of its own; return its rows and the most memory that process had, in bytes."""
    call = [
        sys.executable,
        "-c",
        f"from tests.dedup.test_long_lists import prepare_list; prepare_list({files}, {str(folder)!r})",
    ]
    found: dict[str, float] = json.loads(subprocess.run(call, check=True, capture_output=True, text=True).stdout)
    return found


def prepare_list(files: list[str], folder: str) -> None:
    """Prepare a list of texts as the driver does, and print its rows and the most memory it took."""
    run = Run(folder, "long", Path(folder) / "scratch")
    done = exclude.prepare(TextList(uri=files), cast(Vectors, None), f"{folder}/list", run)  # texts need no vectors
    rows = sum(len(done.array("offsets", part)) - 1 for part in range(done.parts))
    print(json.dumps({"rows": rows, "bytes": 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss}))
