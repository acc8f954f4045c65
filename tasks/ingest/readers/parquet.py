"""Read Parquet shards: the schema from the footer, the rows in batches."""

from collections import Counter
from collections.abc import Generator, Iterator
from contextlib import closing, nullcontext
from typing import BinaryIO, ClassVar, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from evenkeel.tasks.ingest.column_types import twice_named
from evenkeel.tasks.ingest.device_columns import decoded_groups, decodes, device_place
from evenkeel.tasks.ingest.reader import Batch, LocalShard, Reader, ShardSchema, named, with_names
from evenkeel.tasks.ingest.times import BEYOND, wrapped
from evenkeel.tasks.ingest.vectors import SAMPLE, is_list_of_numbers, vector_lengths

BATCH_BYTES = 256 << 20


class ParquetReader(Reader):
    """Parquet: the schema from the footer, the rows in batches; page checksums are verified where the file has them."""

    name: ClassVar[str] = "parquet"
    suffixes: ClassVar[tuple[str, ...]] = (".parquet", ".pq")
    types: ClassVar[Literal["declared"]] = "declared"
    reads_memory: ClassVar[bool] = True

    def inspect(self, stream: BinaryIO, name: str) -> ShardSchema:
        """Return the schema and row count of the footer, and the lengths of the first vectors."""
        file = pq.ParquetFile(stream, coerce_int96_timestamp_unit="us")
        _consistent(file.metadata)
        names = named(file.schema_arrow.names)
        if len(set(names)) < len(names):
            twice = next(name for name, times in Counter(names).items() if times > 1)
            raise ValueError(f"two columns are named {twice!r}")
        wrong = next((why for item in file.schema_arrow if (why := twice_named(item.type, item.name))), "")
        if wrong:
            raise ValueError(wrong)
        schema = pa.schema([item.with_name(name) for item, name in zip(file.schema_arrow, names, strict=True)])
        lengths: dict[str, dict[int, int]] = {}
        for column in (field.name for field in file.schema_arrow if field.name and is_list_of_numbers(field.type)):
            for batch in file.iter_batches(batch_size=SAMPLE, columns=[column], use_threads=False):
                lengths[column] = vector_lengths(batch.column(0))
                break
        return ShardSchema(schema=schema, rows=file.metadata.num_rows, lengths=lengths)

    def batches(self, shard: LocalShard) -> Iterator[Batch]:
        """Yield batches of at most `shard.batch` rows."""
        with pq.ParquetFile(shard.content) as file:
            times, footer = _int96_columns(file), file.metadata
        if times:  # cuDF reads them as nanoseconds
            yield from _with_checked_times(shard, times)
            return
        first = 0
        place = device_place() if shard.backend == "gpu" else nullcontext(False)
        # Closed before the place on the device is given up, wherever a caller stops: nothing decodes without one.
        with place as there, closing(_on_gpu(shard) if there else _on_cpu(shard, footer=footer)) as tables:
            for table in tables:
                rows = np.arange(first, first + table.num_rows, dtype=np.int64)
                yield Batch(rows=rows, table=with_names(table))
                first += table.num_rows

    def count_rows(self, shard: LocalShard) -> int:
        """Return how many rows the footer names."""
        return int(pq.read_metadata(shard.content).num_rows)


def _fitting_rows(footer: pq.FileMetaData) -> int:
    """Return how many rows fit into a batch of `BATCH_BYTES`, by the size of the widest row group's rows."""
    groups = [footer.row_group(group) for group in range(footer.num_row_groups)]
    widest = max((group.total_byte_size / group.num_rows for group in groups if group.num_rows), default=1.0)
    return max(1, int(BATCH_BYTES / max(1.0, widest)))


def _consistent(footer: pq.FileMetaData) -> None:
    """Raise ValueError where the row groups have other rows than the file says."""
    rows = sum(footer.row_group(group).num_rows for group in range(footer.num_row_groups))
    if rows != footer.num_rows:
        raise ValueError(f"the footer says {footer.num_rows:,} rows, its row groups {rows:,}")


def _int96_columns(file: pq.ParquetFile) -> list[str]:
    """Return the columns of a file that are, or hold at any depth, INT96 times."""
    schema = file.schema
    leaves = [schema.column(at) for at in range(len(schema.names))]
    paths = [leaf.path for leaf in leaves if leaf.physical_type == "INT96"]
    return [name for name in file.schema_arrow.names if any(f"{path}.".startswith(f"{name}.") for path in paths)]


def _with_checked_times(shard: LocalShard, times: list[str]) -> Iterator[Batch]:
    """Yield batches without the rows that have a time in INT96 which microseconds do not hold: these are rejects."""
    first = 0
    for table, seconds in zip(_on_cpu(shard), _on_cpu(shard, times, "s"), strict=True):
        rows = np.arange(first, first + table.num_rows, dtype=np.int64)
        bad = {name: wrapped(table[name], seconds[name]) for name in times}
        sound = ~np.logical_or.reduce(list(bad.values()))
        rejects = {row: f"{name!r} {BEYOND}" for name in times for row in rows[bad[name]].tolist()}
        kept = with_names(table.filter(pa.array(sound)))
        yield Batch(rows=rows[sound], table=kept, rejects=sorted(rejects.items()))
        first += table.num_rows


def _on_cpu(
    shard: LocalShard,
    columns: list[str] | None = None,
    int96_unit: str = "us",
    footer: pq.FileMetaData | None = None,
) -> Generator[pa.Table, None, None]:
    with pq.ParquetFile(
        shard.content,
        metadata=footer,
        memory_map=True,
        buffer_size=1 << 20,
        page_checksum_verification=True,
        coerce_int96_timestamp_unit=int96_unit,
    ) as file:
        size = min(shard.batch, _fitting_rows(file.metadata))
        for batch in file.iter_batches(batch_size=size, columns=columns, use_threads=False):
            if batch.num_rows:
                yield pa.Table.from_batches([batch])


def _on_gpu(shard: LocalShard) -> Generator[pa.Table, None, None]:
    """Decode the row groups on the device, as `device_columns` does; vectors of other types stay with Arrow."""
    vector = shard.vector
    with pq.ParquetFile(
        shard.content, memory_map=True, page_checksum_verification=True, coerce_int96_timestamp_unit="us"
    ) as file:
        schema: pa.Schema = file.schema_arrow
        apart = vector in schema.names and not decodes(schema.field(vector).type)
        columns = [name for name in schema.names if not (apart and name == vector)]
        if not columns:
            yield from _on_cpu(shard)
            return
        there = vector if vector in columns else None
        with closing(decoded_groups(shard, columns, there, file.num_row_groups)) as decoded:
            for group, table in enumerate(decoded):
                if apart:
                    table = table.append_column(vector, file.read_row_group(group, columns=[vector]).column(0))
                table = table.select(schema.names)
                for begin in range(0, table.num_rows, shard.batch):
                    yield table.slice(begin, shard.batch)
