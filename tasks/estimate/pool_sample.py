"""Estimate the size of a source from footers, headers and first rows of some shards, and read a sample of its rows."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO, TypeVar

import numpy as np
import pyarrow as pa

from evenkeel.infra import storage
from evenkeel.infra.errors import InputError
from evenkeel.tasks.ingest.compressed import decompressed
from evenkeel.tasks.ingest.config import SourceConfig
from evenkeel.tasks.ingest.listing import ListedShard
from evenkeel.tasks.ingest.partitions import with_columns
from evenkeel.tasks.ingest.plan import ColumnPlan, inspect_shard, plan_columns
from evenkeel.tasks.ingest.reader import (
    Batch,
    Harvester,
    LocalShard,
    ShardSchema,
    ShardUnreadable,
    read_batches,
    reader_of,
)
from evenkeel.tasks.ingest.schemas import stack, storable

MAX_SHARDS = 64
COUNTED_BYTES = 4 << 20
MAX_FETCH = 256 << 20
Item = TypeVar("Item")


@dataclass(frozen=True)
class PoolSize:
    """The size of a source.

    rows: from the footers, else extrapolated from the first rows (then not `exact`). bytes: of the shards. dimension:
    of the source's own vectors, None without. text_bytes, payload_bytes: of one row on average. vector_kept: vectors
    were guessed and are payload too.
    """

    rows: int
    exact: bool
    bytes: int
    dimension: int | None
    itemsize: int
    text_bytes: float
    payload_bytes: float
    vector_kept: bool = False


@dataclass(frozen=True)
class PoolSample:
    """The size of a source, some of its rows, and how fast it is read.

    source: the source settings that read the rows from Parquet. bytes_per_second: of reading the source. note: what the
    user should know of the columns: that the vector was guessed.
    """

    size: PoolSize
    table: pa.Table
    source: SourceConfig
    bytes_per_second: float
    note: str = ""

    @property
    def rows(self) -> int:
        """Return how many rows were read."""
        return int(self.table.num_rows)


def sample_pool(source: SourceConfig, shards: Sequence[ListedShard], rows: int, folder: Path) -> PoolSample:
    """Estimate the size from up to 64 shards and read up to `rows` rows of one; `folder` is for copies of shards.

    Raises InputError where no shard can be read.
    """
    if isinstance(reader := reader_of(shards[0].format), Harvester):
        return _sample_harvest(source, reader, shards, rows)
    some = _evenly_spaced([shard for shard in shards if shard.bytes], MAX_SHARDS)
    found = [
        (shard, seen)
        for shard, seen in ((shard, inspect_shard(shard)) for shard in some)
        if isinstance(seen, ShardSchema)
    ]
    if not found:
        raise InputError("no shard can be read", where=str(source.uri), remedy="evenkeel diagnose says why")
    plan = plan_columns(source, [shard for shard, _ in found], [seen for _, seen in found])
    counts = [_rows_in(shard, seen) for shard, seen in found]
    sampled = sum(shard.bytes for shard, _ in found)
    total = sum(shard.bytes for shard in shards)
    table, speed = _first_rows([shard for shard, _ in found], rows, plan, folder)
    source = source.model_copy(update={"vector": plan.vector})
    text = _bytes_per_row(table, plan.text)
    payload = [name for name in table.column_names if name != plan.vector or plan.kept_vector]
    size = PoolSize(
        rows=round(sum(rows for rows, _ in counts) * total / max(1, sampled)),
        exact=all(exact for _, exact in counts) and len(found) == len(shards),
        bytes=total,
        dimension=plan.dimension,
        itemsize=2 if plan.dtype == "float16" else 4,
        text_bytes=text,
        payload_bytes=sum(_bytes_per_row(table, name) for name in payload),
        vector_kept=plan.kept_vector is not None,
    )
    return replace(_keep(size, table, source, speed), note=plan.about_guess)


def _sample_harvest(source: SourceConfig, harvester: Harvester, shards: Sequence[ListedShard], rows: int) -> PoolSample:
    found = harvester.sample(shards[0], rows)
    names = found.table.column_names
    plain = source.model_copy(update={role: role for role in ("id", "text") if role in names})
    size = PoolSize(
        rows=found.rows,
        exact=False,
        bytes=sum(shard.bytes for shard in shards),
        dimension=None,
        itemsize=4,
        text_bytes=_bytes_per_row(found.table, plain.text),
        payload_bytes=sum(_bytes_per_row(found.table, name) for name in names),
    )
    return _keep(size, found.table, plain, found.speed)


def _keep(size: PoolSize, table: pa.Table, source: SourceConfig, speed: float) -> PoolSample:
    alone = {"format": "parquet", "ids": None, "max_quarantined": 1.0}
    return PoolSample(size, table, source.model_copy(update=alone), speed)


def _rows_in(shard: ListedShard, seen: ShardSchema) -> tuple[int, bool]:
    """Return the rows of a shard, and whether that is exact."""
    if seen.rows is not None:
        return seen.rows, True
    fs, path = storage.filesystem(shard.uri)
    with fs.open(path, "rb") as raw, decompressed(raw, shard.uri) as plain:
        lines, read = _count_lines(plain)
        consumed = raw.tell()
    header = reader_of(shard.format).header_lines
    if consumed >= shard.bytes and read < COUNTED_BYTES:
        return max(0, lines - header), False
    return round(max(0, lines - header) * shard.bytes / max(1, consumed)), False


def _count_lines(plain: BinaryIO) -> tuple[int, int]:
    lines = read = 0
    last = b"\n"
    while read < COUNTED_BYTES and (piece := plain.read(1 << 18)):
        lines, read, last = lines + piece.count(b"\n"), read + len(piece), piece[-1:]
    return lines + (read < COUNTED_BYTES and last != b"\n"), read


def _first_rows(shards: Sequence[ListedShard], rows: int, plan: ColumnPlan, folder: Path) -> tuple[pa.Table, float]:
    """Return up to `rows` rows of a medium-sized shard as a table, and the source bytes read per second."""
    by_size = sorted(shards, key=lambda shard: shard.bytes)
    fitting = [shard for shard in by_size if shard.bytes <= MAX_FETCH or storage.is_local(shard.uri)]
    for shard in (fitting or by_size[:1])[len(fitting) // 2 :] + fitting[: len(fitting) // 2]:
        begun = time.monotonic()
        path = storage.local_copy(shard.uri, folder / "shard")
        ids = None if shard.ids is None else storage.local_copy(shard.ids, folder / "shard")
        fetched = time.monotonic() - begun
        parts: list[pa.Table] = []
        try:
            for batch in read_batches(shard.format, LocalShard(path, rows, plan.vector, ids)):
                table = _as_table(batch, plan.vector or "vector")
                parts.append(with_columns(table, table.num_rows, shard.partition, plan.partitions))
                if sum(part.num_rows for part in parts) >= rows:
                    break
        except ShardUnreadable:
            continue
        if parts:
            table = storable(stack(parts).slice(0, rows))
            return table, shard.bytes / max(fetched, 1e-3) if not storage.is_local(shard.uri) else float("inf")
    raise InputError("no shard can be read to its end", where=shards[0].uri, remedy="evenkeel diagnose says why")


def _as_table(batch: Batch, vector: str) -> pa.Table:
    """Return a batch as one table, its vectors as a column of lists."""
    table = batch.table.drop_columns([""]) if "" in batch.table.column_names else batch.table
    if batch.vectors is None or vector in table.column_names:
        return table if table.num_columns else pa.table({"row": batch.rows})
    flat = pa.array(np.ascontiguousarray(batch.vectors).ravel())
    lists = pa.FixedSizeListArray.from_arrays(flat, batch.vectors.shape[1])
    return table.append_column(vector, lists) if table.num_columns else pa.table({vector: lists})


def _bytes_per_row(table: pa.Table, column: str | None) -> float:
    if column is None or column not in table.column_names or not table.num_rows:
        return 0.0
    return float(table[column].nbytes / table.num_rows)


def _evenly_spaced(items: Sequence[Item], count: int) -> list[Item]:
    """Return at most `count` evenly spaced items."""
    step = max(1, -(-len(items) // count))
    return list(items[::step])
