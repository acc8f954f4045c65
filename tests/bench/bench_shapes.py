"""What odd shapes of a source cost, as `evenkeel run` under `ulimit -n 1024`: `python -m tests.bench.bench_shapes`.

    python -m tests.bench.bench_shapes [shards|columns|row|groups]... [--size N]

shards: 20,000 Parquet files of 3 rows. columns: 20,000 rows of 2,000 columns. row: one text of 100 MB in a Parquet and
in a JSONL shard, among 4,000 others. groups: 120,000 rows, 100,000 values of a group column. Prints CPU-seconds, wall,
the most memory of all processes together and of the largest, and the size of the card.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq

from evenkeel.infra.dtypes import Int64Array

OPEN_FILES, VOCABULARY, TOPICS = 1024, 5000, 40
COMMAND = "from evenkeel.flows.cli.main import main; main()"


class Cost(NamedTuple):
    """What a run took: CPU-seconds and seconds of wall, bytes of all processes and of the largest, of the card."""

    cpu: float
    wall: float
    memory: int
    largest: int
    card: int
    said: str


def texts(rows: int, rng: np.random.Generator) -> tuple[list[str], Int64Array]:
    """Return texts of 20 words and the topic of each, (n,): few topics have most."""
    words = np.array([f"w{number}" for number in range(VOCABULARY)])
    topic = rng.zipf(1.5, rows) % TOPICS
    return [" ".join(words[(one * 100 + rng.integers(0, 120, 20)) % VOCABULARY]) for one in topic], topic


def many_shards(folder: Path, shards: int = 20_000) -> dict[str, Any]:
    """Write shards of three rows; return what the recipe says besides."""
    written, topic = texts(3 * shards, np.random.default_rng(0))
    for shard in range(shards):
        rows = slice(3 * shard, 3 * shard + 3)
        ids, topics = [f"r{row}" for row in range(rows.start, rows.stop)], [f"t{one}" for one in topic[rows]]
        pq.write_table(pa.table({"id": ids, "text": written[rows], "topic": topics}), folder / f"{shard:06d}.parquet")
    return {"source": {"groups": ["topic"]}}


def many_columns(folder: Path, columns: int = 2000, shards: int = 10, rows: int = 2000) -> dict[str, Any]:
    """Write rows of many columns: whole numbers, numbers and texts; return what the recipe says besides."""
    rng = np.random.default_rng(0)
    for shard in range(shards):
        written, topic = texts(rows, rng)
        table: dict[str, Any] = {"id": [f"r{shard}-{row}" for row in range(rows)], "text": written}
        table["topic"] = [f"t{one}" for one in topic]
        for column in range(columns):
            made = (rng.integers(0, 100, rows), rng.random(rows), np.array(["a", "b", "c"])[rng.integers(0, 3, rows)])
            table[f"c{column:04d}"] = made[column % 3]
        pq.write_table(pa.table(table), folder / f"{shard}.parquet")
    return {"source": {"groups": ["topic"]}}


def long_row(folder: Path, size: int = 100_000_000, rows: int = 2000) -> dict[str, Any]:
    """Write two shards with a text of about `size` bytes each; return what the recipe says besides."""
    rng = np.random.default_rng(0)
    words = np.array([f"w{number}" for number in range(VOCABULARY)])
    for form in ("parquet", "jsonl"):
        written, _ = texts(rows, rng)
        written[7] = " ".join(rng.choice(words, size // 6)) + " end"
        ids = [f"{form}{row}" for row in range(rows)]
        if form == "parquet":
            pq.write_table(pa.table({"id": ids, "text": written}), folder / "a.parquet")
        else:
            pairs = zip(ids, written, strict=True)
            lines = "".join(json.dumps({"id": one, "text": text}) + "\n" for one, text in pairs)
            (folder / "b.jsonl").write_text(lines)
    return {"source": {"max_row_bytes": 2 * size}, "sampling": {"target": rows, "strategy": "random"}}


def many_groups(folder: Path, values: int = 100_000, rows: int = 120_000) -> dict[str, Any]:
    """Write rows of which a column has many values; return what the recipe says besides."""
    rng = np.random.default_rng(0)
    written, _ = texts(rows, rng)
    group = np.where(rng.random(rows) < 0.5, rng.integers(0, values, rows), rng.zipf(1.3, rows) % values)
    group[:values] = np.arange(values)
    for part in np.array_split(np.arange(rows), 4):
        table = {"id": [f"r{row}" for row in part], "text": [written[row] for row in part]}
        table["domain"] = [f"www.site-{one}.example.com" for one in group[part]]
        pq.write_table(pa.table(table), folder / f"{part[0]:07d}.parquet")
    return {"source": {"groups": ["domain"]}}


SHAPES: dict[str, Callable[..., dict[str, Any]]] = {
    "shards": many_shards,
    "columns": many_columns,
    "row": long_row,
    "groups": many_groups,
}


def measure(folder: Path, shape: str, *sizes: int) -> Cost:
    """Write a source below `folder`, run its recipe as a user does, and return what that took.

    Raises RuntimeError with what the run said where it failed.
    """
    pool = folder / "pool"
    pool.mkdir(parents=True)
    more = SHAPES[shape](pool, *sizes)
    document = {
        "dataset": shape,
        "sampling": {"target": "10%"},
        "destination": {"uri": str(folder / "published")},
        "workspace": str(folder / "workspace"),
        **more,
        "source": {"uri": str(pool), **more.get("source", {})},
    }
    (folder / "recipe.json").write_text(json.dumps(document))
    limit = (OPEN_FILES, OPEN_FILES)
    before, begun = _cpu(), time.monotonic()
    with (folder / "said").open("w") as said:
        run = subprocess.Popen(
            [sys.executable, "-c", COMMAND, "run", str(folder / "recipe.json")],
            stdout=said,
            stderr=subprocess.STDOUT,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, limit),
        )
        memory, largest = _watch(psutil.Process(run.pid))
    found = (folder / "said").read_text()
    if run.wait():
        raise RuntimeError(found)
    [card] = folder.glob("published/*/versions/*/card.html")
    return Cost(_cpu() - before, time.monotonic() - begun, memory, largest, card.stat().st_size, found)


def _watch(run: psutil.Process) -> tuple[int, int]:
    """Wait until a process ends; return the most bytes of it with its children at a time, and of any one of them."""
    memory = largest = 0
    while run.is_running() and run.status() != psutil.STATUS_ZOMBIE:
        held = []
        for process in [run, *run.children(recursive=True)]:
            try:
                held.append(process.memory_full_info().pss)
            except psutil.Error:  # it has ended meanwhile
                continue
        memory, largest = max(memory, sum(held)), max([largest, *held])
        time.sleep(0.5)
    return memory, largest


def _cpu() -> float:
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent.ru_utime + spent.ru_stime


def main() -> None:
    """Run shapes and print what each took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("shapes", nargs="*", default=list(SHAPES))
    parser.add_argument("--size", type=int, help="shards, columns, bytes or values instead of those above")
    asked = parser.parse_args()
    for shape in asked.shapes:
        with tempfile.TemporaryDirectory(prefix="evenkeel-shapes-") as folder:
            cost = measure(Path(folder), shape, *([asked.size] if asked.size else []))
        print(
            f"{shape}: {cost.cpu:,.0f} CPU-s, {cost.wall:,.0f} s, {cost.memory / 1e6:,.0f} MB in all, "
            f"{cost.largest / 1e6:,.0f} MB the largest process, card {cost.card / 1e3:,.0f} kB, {os.cpu_count()} cores"
        )


if __name__ == "__main__":
    main()
