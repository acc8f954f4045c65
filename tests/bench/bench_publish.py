"""What publishing costs: a million rows, ten thousand files, a thousand versions, and how fast readers read them back.

python -m tests.bench.bench_publish [rows] [files] [versions]
"""

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from pyiceberg.table.update import AddSnapshotUpdate, SetPropertiesUpdate

from evenkeel.infra import storage
from evenkeel.tasks.publish import commit
from evenkeel.tasks.publish.config import DestinationConfig
from evenkeel.tasks.publish.manifest import FileEntry, Staged, content_key
from evenkeel.tasks.publish.marker import HIGHEST_PROPERTY
from evenkeel.tasks.publish.opening import dataset_table
from evenkeel.tasks.publish.publish import publish, publish_files
from evenkeel.tasks.publish.staging.gather import write_data_file
from evenkeel.tasks.publish.staging.inputs import StageInputs
from evenkeel.tasks.publish.staging.step import STAGE, read_staged
from evenkeel.tasks.reading.stream import RowStream
from evenkeel.tasks.step import Run
from evenkeel.tasks.versions.listing import list_versions
from evenkeel.tasks.versions.verify import verify
from tests.publish import small_steps


def timed(what: str, call: Callable[[], Any], rows: int = 0) -> Any:
    """Print how long `call` takes, and how much processor time, and return what it returns."""
    started, before = time.perf_counter(), time.process_time()
    found = call()
    seconds, spent = time.perf_counter() - started, time.process_time() - before
    print(
        f"{what:58s} {seconds:8.2f} s {spent:8.2f} CPU-s" + (f" {rows / seconds / 1e6:8.2f} M rows/s" if rows else ""),
        flush=True,
    )
    return found


def million_rows(folder: Path, rows: int) -> None:
    """Stage, audit and publish; read back with every reader."""
    vectors = pa.FixedSizeListArray.from_arrays(np.random.default_rng(0).normal(size=rows * 64).astype("f4"), 64)
    small = small_steps.make(
        folder / "steps", rows=rows, shards=4, rows_per_block=65_536, leaves=1000, keep=0.9, extra={"vector": vectors}
    )
    config = DestinationConfig(uri=str(folder / "published"), rows_per_file=-(-int(rows * 0.9) // 16))
    run = Run(workspace=str(folder / "workspace"), dataset="demo", scratch=folder / "scratch")
    ref = timed(
        f"stage {rows:,} x 64 rows, 90 % kept", lambda: STAGE(config.staging(), StageInputs.of(small.refs), run)
    )
    result = timed("publish (audit, two commits)", lambda: publish(config, "demo", ref, {}, {}, run.workspace))
    staged = read_staged(ref)
    print(f"  {result.files} files, {result.bytes / 1e6:.0f} MB")
    tables = [pq.read_table(storage.join(result.location, entry.path)) for entry in staged.data]

    def write(number: int) -> FileEntry:
        return write_data_file(str(folder / "plain"), number, tables[number], config.rows_per_group)

    timed("writing the same bytes, nothing else", lambda: run.compute.map(write, range(len(tables))))
    tables.clear()
    timed("verify", lambda: verify(config, "demo", 1, run.workspace))
    read_back(result.data, result.rows, config, run.workspace)


def read_back(data: str, rows: int, config: DestinationConfig, workspace: str) -> None:
    """Read all columns with each reader."""
    import dask.dataframe as dd
    import duckdb
    import polars
    from datasets import load_dataset

    def iceberg() -> None:
        with dataset_table(config, "demo", workspace) as table:
            table.scan().to_arrow()

    timed("read: pandas", lambda: pd.read_parquet(data), rows)
    timed("read: polars", lambda: polars.read_parquet(f"{data}/*.parquet"), rows)
    timed("read: duckdb", lambda: duckdb.read_parquet(f"{data}/*.parquet").to_arrow_table(), rows)
    timed("read: pyiceberg", iceberg, rows)
    timed("read: dask", lambda: dd.read_parquet(data).map_partitions(len).compute(scheduler="threads"), rows)
    stream = load_dataset("parquet", data_files=f"{data}/*.parquet", split="train", streaming=True)
    timed(
        "read: datasets, streaming, batches of 256", lambda: sum(1 for _ in stream.with_format("arrow").iter(256)), rows
    )
    timed(
        "read: our stream, shuffled, batches of 256",
        lambda: sum(1 for _ in RowStream(data, copies=False).batches()),
        rows,
    )


def many_files(folder: Path, files: int) -> None:
    """Commit latency of a version of many files."""
    config = DestinationConfig(uri=str(folder / "published"))
    small = small_steps.make(folder / "steps", rows=2_000)
    run = Run(workspace=str(folder / "workspace"), dataset="demo", scratch=folder / "scratch")
    one = read_staged(STAGE(config.staging(), StageInputs.of(small.refs), run))
    base = storage.join(one.folder, one.data[0].path)
    data = storage.read_bytes(base)
    run_folder = storage.join(one.folder.rpartition("/")[0], "many")
    entries = []
    for number in range(files):
        path = f"data/part-{number:05d}.parquet"
        storage.write_bytes(storage.join(run_folder, path), data)
        entries.append(one.data[0].model_copy(update={"path": path}))
    staged = Staged(**one.model_dump(exclude={"run", "folder", "files", "content_key"}), run="many", folder=run_folder,
                    files=entries, content_key=content_key(entries))  # fmt: skip
    timed(f"publish a version of {files:,} files", lambda: publish_files(config, "demo", staged, {}, {}, run.workspace))


def many_versions(folder: Path, count: int) -> None:
    """Listing a long history, and publishing onto it; the history is one snapshot repeated under other numbers."""
    config = DestinationConfig(uri=str(folder / "published"))
    run = Run(workspace=str(folder / "workspace"), dataset="demo", scratch=folder / "scratch")
    refs = [small_steps.make(folder / f"steps-{seed}", rows=200, seed=seed).refs for seed in (0, 1)]
    publish(config, "demo", STAGE(config.staging(), StageInputs.of(refs[0]), run), {}, {}, run.workspace)
    with dataset_table(config, "demo", run.workspace) as table:
        first = table.current_snapshot()
        assert first is not None
        updates: list[Any] = [SetPropertiesUpdate(updates={HIGHEST_PROPERTY: str(count)})]
        for number in range(2, count + 1):
            updates.append(AddSnapshotUpdate(snapshot=first.model_copy(update={"snapshot_id": number})))
            updates += commit.point(table, number, [f"v{number}"])[0]
        timed(f"add {count - 1:,} versions to the catalog", lambda: commit.apply(table, tuple(updates), ()))
        print(f"  metadata {len(storage.read_bytes(table.metadata_location)) / 1e6:.1f} MB")
    timed(f"list {count:,} versions", lambda: list_versions(config, "demo", run.workspace))
    ref = STAGE(config.staging(), StageInputs.of(refs[1]), run)
    timed(f"publish after {count:,} versions", lambda: publish(config, "demo", ref, {}, {}, run.workspace))


if __name__ == "__main__":
    rows, files, count = (int(value) for value in [*sys.argv[1:], *["1000000", "10000", "1000"][len(sys.argv) - 1 :]])
    for measure, size in ((million_rows, rows), (many_files, files), (many_versions, count)):
        with tempfile.TemporaryDirectory() as scratch:
            if size:
                measure(Path(scratch), size)
