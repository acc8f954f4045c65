"""Parquet files of ours on any store: pages are written with checksums, which every reader verifies.

A file that does not hold what was written raises DamagedFile. Files of other people are read by `tasks/ingest/readers`.
"""

import bisect
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import BinaryIO, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from evenkeel.infra import storage
from evenkeel.infra.errors import DamagedFile

PACKED_ROWS, PACKED_TABLES = 1 << 16, 64


def read_table(uri: str, columns: Sequence[str] | None = None) -> pa.Table:
    """Return a Parquet file, or some of its columns, as one table."""
    with _open(uri) as file, _damage(uri):
        return file.read(_names(columns), use_threads=False)


def read_range(
    uri: str, first: int, last: int, column: str = "row_id", columns: Sequence[str] | None = None
) -> pa.Table:
    """Return the rows of a file sorted by `column` with first <= column <= last, reading only the row groups needed."""
    footer, bounds = _known_bounds(uri, column)
    wanted = None if columns is None else [*dict.fromkeys((column, *columns))]
    with _open(uri, footer) as file, _damage(uri):
        bounds = _Bounds.of(file.metadata, column) if bounds is None else bounds
        table = file.read_row_groups(bounds.groups(first, last), wanted, use_threads=False)
    keys = table[column].to_numpy()
    start = int(np.searchsorted(keys, keys.dtype.type(first)))
    stop = int(np.searchsorted(keys, keys.dtype.type(last), side="right"))
    found = table.slice(start, max(stop - start, 0))
    return found if columns is None else found.select(list(columns))


def find_row(uri: str, where: Mapping[str, object], columns: Sequence[str] | None = None) -> dict[str, object] | None:
    """Return the first row of a file whose columns have these values, None where there is none.

    Row groups whose statistics rule a value out are not read; of the others the columns of `where` are read first.
    """
    with _open(uri) as file, _damage(uri):
        places = {name: file.schema_arrow.get_field_index(name) for name in where}
        for group in range(file.num_row_groups):
            about = file.metadata.row_group(group)
            if not all(_may_hold(about.column(place).statistics, where[name]) for name, place in places.items()):
                continue
            keys = file.read_row_group(group, list(where), use_threads=False)
            first, *others = where
            hits = np.flatnonzero(pc.equal(keys[first], pa.scalar(where[first], keys[first].type)).to_numpy())
            for at in hits.tolist():
                if all(keys[name][at].as_py() == where[name] for name in others):
                    row = file.read_row_group(group, _names(columns), use_threads=False).slice(at, 1)
                    return dict(row.to_pylist()[0])
    return None


def _may_hold(bounds: pq.Statistics | None, value: object) -> bool:
    return bounds is None or not bounds.has_min_max or bool(bounds.min <= value <= bounds.max)


def read_groups(uri: str, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
    """Yield the row groups of a file one after another, so that one of them is in memory at a time."""
    with _open(uri) as file:
        for group in range(file.num_row_groups):
            with _damage(uri):
                table = file.read_row_group(group, _names(columns), use_threads=False)
            yield table


def read_group(uri: str, group: int, columns: Sequence[str] | None = None) -> pa.Table:
    """Return one row group of a file, numbered from 0."""
    with _open(uri) as file, _damage(uri):
        return file.read_row_group(group, _names(columns), use_threads=False)


def read_batches(uri: str, rows: int, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
    """Yield a file in batches of at most `rows` rows."""
    with _open(uri) as file:
        batches = file.iter_batches(rows, columns=_names(columns), use_threads=False)
        while True:
            with _damage(uri):
                batch = next(batches, None)
            if batch is None:
                return
            yield batch


def read_footer(uri: str) -> pq.FileMetaData:
    """Return what the footer of a file says: schema, rows, row groups and their statistics."""
    with _open(uri) as file:
        return file.metadata


def read_schema(uri: str) -> pa.Schema:
    """Return the Arrow schema of a file."""
    with _open(uri) as file:
        return file.schema_arrow


def write_table(uri: str, table: pa.Table, rows_per_group: int | None = None) -> None:
    """Write a table so that readers see all of it or nothing."""
    with storage.open_replace(uri) as stream:
        write_table_into(stream, table, rows_per_group)


def write_tables(uri: str, schema: pa.Schema, tables: Iterator[pa.Table], rows_per_group: int) -> None:
    """Write tables of a schema one behind the other, large ones one at a time; readers see all or nothing.

    Small ones share a row group: each takes 4 kB of memory with whoever reads the file.
    """
    with (
        storage.open_replace(uri) as stream,
        pq.ParquetWriter(stream, schema, compression="zstd", write_page_checksum=True) as writer,
    ):
        for table in _packed(tables, min(rows_per_group, PACKED_ROWS)):
            writer.write_table(table, row_group_size=rows_per_group)


def _packed(tables: Iterator[pa.Table], rows: int) -> Iterator[pa.Table]:
    """Yield the rows of all tables in order, in tables of at least so many rows but for the last."""
    held: list[pa.Table] = []
    count = 0
    for table in tables:
        if not table.num_rows:
            continue
        held.append(table)
        count += table.num_rows
        if count >= rows:
            yield pa.concat_tables(held)
            held, count = [], 0
        else:
            held = put_together(held)
    if held:
        yield pa.concat_tables(held)


def put_together(held: list[pa.Table]) -> list[pa.Table]:
    """Return tables that wait as they are, or as one where there are 64: one takes 4 kB, however few its rows."""
    return [pa.concat_tables(held).combine_chunks()] if len(held) == PACKED_TABLES else held


def write_table_into(
    stream: BinaryIO | pa.NativeFile, table: pa.Table, rows_per_group: int | None = None, *, page_index: bool = False
) -> None:
    """Write a table as Parquet into an open stream.

    page_index: also where each page begins and its bounds, with which engines skip pages.
    """
    pq.write_table(
        table,
        stream,
        row_group_size=rows_per_group,
        compression="zstd",
        write_page_checksum=True,
        write_page_index=page_index,
    )


def write_batch(batch: pa.RecordBatch) -> bytes | memoryview:
    """Return a record batch as compressed bytes for a section of a file, none where it has no rows."""
    if not batch.num_rows:
        return b""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema, options=pa.ipc.IpcWriteOptions(compression="lz4")) as writer:
        writer.write_batch(batch)
    return memoryview(sink.getvalue())


def read_batch(content: bytes | memoryview) -> pa.RecordBatch:
    """Return the record batch in what `write_batch` returned."""
    with pa.ipc.open_stream(pa.py_buffer(content)) as stream:
        return stream.read_next_batch()


class _Bounds(NamedTuple):
    """Row groups with rows, by number, and the least and the greatest value of a sorted column in each, ascending."""

    number: list[int]
    first: list[int]
    last: list[int]

    @classmethod
    def of(cls, footer: pq.FileMetaData, column: str) -> "_Bounds":
        place = footer.schema.to_arrow_schema().get_field_index(column)
        groups = [(number, footer.row_group(number)) for number in range(footer.num_row_groups)]
        found = [(number, group.column(place).statistics) for number, group in groups if group.num_rows]
        return cls([number for number, _ in found], [one.min for _, one in found], [one.max for _, one in found])

    def groups(self, first: int, last: int) -> list[int]:
        """Return the numbers of the row groups that may hold a value from first to last."""
        return self.number[bisect.bisect_left(self.last, first) : bisect.bisect_right(self.first, last)]


def _known_bounds(uri: str, column: str) -> tuple[pq.FileMetaData | None, _Bounds | None]:
    """Return the footer of a local file and the bounds of its row groups, read once while the file is the same.

    Each block of a pool reads a range of files that have a row group for every few blocks; that each also read all
    their bounds would take as long as the square of the blocks.
    """
    if not storage.is_local(uri):
        return None, None
    path = storage.filesystem(uri)[1]
    with storage.store_errors("read", uri):
        about = os.stat(path)
    return _footer_of(uri, column, (about.st_ino, about.st_size, about.st_mtime_ns))


@lru_cache(maxsize=16)
def _footer_of(uri: str, column: str, version: tuple[int, ...]) -> tuple[pq.FileMetaData, _Bounds]:
    with _open(uri) as file, _damage(uri):
        return file.metadata, _Bounds.of(file.metadata, column)


@contextmanager
def _open(uri: str, footer: pq.FileMetaData | None = None) -> Iterator[pq.ParquetFile]:
    if not storage.is_local(uri):
        with storage.open_read(uri) as stream:
            with _damage(uri):
                file = pq.ParquetFile(stream, page_checksum_verification=True)
            yield file
        return
    path = storage.filesystem(uri)[1]
    with storage.store_errors("read", uri):
        with _damage(uri):
            file = pq.ParquetFile(path, metadata=footer, page_checksum_verification=True)
        with file:
            yield file


@contextmanager
def _damage(uri: str) -> Iterator[None]:
    """Turn Arrow's refusal to read the bytes of a file into DamagedFile."""
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, pa.ArrowException) or (type(error) is OSError and error.errno is None):
            raise DamagedFile(uri, " ".join(f"{error}".split())) from error
        raise


def _names(columns: Sequence[str] | None) -> list[str] | None:
    return None if columns is None else list(columns)
