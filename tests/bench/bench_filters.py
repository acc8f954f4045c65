"""CPU-seconds of filtering by a joined signal, and what the driver holds: `python -m tests.bench.bench_filters ROWS`.

A pool of ROWS rows in blocks of 65,536 and a shuffled Parquet file with a score for each are made first. Reading is
measured apart: both are read once, and nothing is done with them. Then the steps `signal` (joined) and `filter` run in
this process. Last, the ledger of 15,000 blocks is merged as the driver merges it.
"""

import argparse
import tempfile
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from evenkeel.flows.around_clustering import compute_signal
from evenkeel.infra import storage
from evenkeel.infra.compute import Compute
from evenkeel.infra.tables import write_table
from evenkeel.infra.workspace import StepRef
from evenkeel.tasks.dedup.ledger import filtered_rows, merged, read_ledger, write_ledger
from evenkeel.tasks.filter.config import FilterConfig, FilterRule
from evenkeel.tasks.filter.inputs import FilterInputs
from evenkeel.tasks.filter.step import FILTER
from evenkeel.tasks.ingest.columns import identities
from evenkeel.tasks.ingest.pool import Pool
from evenkeel.tasks.signal.kinds.joined import JoinedSignal
from evenkeel.tasks.step import InProcess, Run

ROWS_PER_BLOCK = 1 << 16
BLOCKS, GONE_PER_BLOCK = 15_000, 200


def write_pool(folder: Path, rows: int) -> StepRef:
    """Write the row tables of a pool of so many rows, with a group of four values."""
    blocks = []
    for number, first in enumerate(range(0, rows, ROWS_PER_BLOCK)):
        row = np.arange(first, min(first + ROWS_PER_BLOCK, rows))
        ids = pa.chunked_array([pa.array(row).cast(pa.string())])
        columns = {"row_id": row.astype(np.uint64), "id": ids, "identity": identities(ids), "tokens": row % 100}
        group = pa.array(np.array(["de", "en", "fr", "it"])[row % 4])
        name = f"s00000-b{number:06d}"
        write_table(str(folder / "rows" / f"{name}.parquet"), pa.table({**columns, "group.language": group}))
        blocks.append({"name": name, "shard": 0, "rows": len(row)})
    about: dict[str, object] = dict.fromkeys(("id", "text", "vector", "dimension", "dtype"))
    about |= {
        "read": rows,
        "rows": rows,
        "quarantined": 0,
        "groups": ["language"],
        "scores": [],
        "payload": {},
        "reasons": {},
    }
    storage.write_json(str(folder / "pool.json"), about)
    storage.write_json(str(folder / "blocks.json"), blocks)
    storage.write_json(str(folder / "shards.json"), [])
    return StepRef(step="ingest", key="bench", uri=str(folder))


def write_scores(folder: Path, rows: int) -> str:
    """Write a score for every row, shuffled, in files of two million."""
    order = np.random.default_rng(0).permutation(rows)
    for number, part in enumerate(np.array_split(order, max(1, rows // 2_000_000))):
        table = pa.table({"id": pa.array(part).cast(pa.string()), "score": part / rows})
        write_table(str(folder / f"{number}.parquet"), table)
    return str(folder)


def read_only(ingest: StepRef, scores: str) -> None:
    """Read what the steps read, and do nothing with it."""
    pool = Pool.open(ingest)
    for block in pool.blocks:
        pool.table(block, ["row_id", "identity", "group.language"])
    for file in sorted(Path(scores).iterdir()):
        for batch in pq.ParquetFile(file).iter_batches(ROWS_PER_BLOCK):
            assert batch.num_rows


def ledger_of_many_blocks(folder: Path) -> tuple[float, float]:
    """Merge the ledgers of 15,000 blocks as the driver does; return peak megabytes in Python and in Arrow."""

    def tables(offset: int) -> Iterator[pa.Table]:
        for block in range(BLOCKS):
            row_id = np.arange(GONE_PER_BLOCK, dtype=np.uint64) * np.uint64(2) + np.uint64(offset + (block << 16))
            yield filtered_rows(row_id, pa.repeat(pa.scalar("drop score < 0.3"), GONE_PER_BLOCK))

    before = pa.total_allocated_bytes()
    tracemalloc.start()
    write_ledger(str(folder), merged(tables(0), tables(1)))
    rows = peak = 0
    for table in read_ledger(str(folder)):
        rows += table.num_rows
        peak = max(peak, pa.total_allocated_bytes() - before)
    _, python = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert rows == 2 * BLOCKS * GONE_PER_BLOCK
    return python / 1e6, peak / 1e6


def main() -> None:
    """Print CPU-seconds of reading, of joining and of filtering."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rows", type=int)
    rows = parser.parse_args().rows
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        ingest, scores = write_pool(folder / "ingest", rows), write_scores(folder / "scores", rows)
        run = Run(str(folder / "workspace"), "bench", folder / "scratch", Compute(threads=1))
        seconds = {}

        def timed(name: str, begun: float) -> None:
            seconds[name] = round(time.process_time() - begun, 1)

        begun = time.process_time()
        read_only(ingest, scores)
        timed("reading", begun)
        begun = time.process_time()
        signal = compute_signal(JoinedSignal(name="score", join=scores), {"ingest": ingest}, InProcess(run))
        timed("join", begun)
        for name, rule in {
            "filter by a threshold": FilterRule(drop="score < 0.3"),
            "filter by quantile and group": FilterRule(drop="score below quantile 0.3", by="language"),
        }.items():
            begun = time.process_time()
            found = FILTER(FilterConfig(rules=[rule]), FilterInputs(ingest, signals={"score": signal}), run)
            timed(name, begun)
            assert abs(found.counts["filtered"] / rows - 0.3) < 1e-3
        print(f"{rows:,} rows, CPU-seconds: {seconds}")
        python, arrow = ledger_of_many_blocks(folder / "ledger")
        print(f"ledger of {BLOCKS:,} blocks, peak MB in Python and Arrow: {python:.0f}, {arrow:.0f}")


if __name__ == "__main__":
    main()
