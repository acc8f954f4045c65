"""Vectors in .npy files, with their ids (or whole rows) in a second file."""

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from evenkeel.infra.arrays import CHECKSUM, map_foreign, read_header
from evenkeel.infra.dtypes import Array, DType
from evenkeel.tasks.ingest.id_files import read_lines
from evenkeel.tasks.ingest.reader import Batch, LocalShard, Reader, ShardSchema, format_of, read_batches

VECTOR = "vector"
LONGEST_VECTOR = 1 << 16


class NpyReader(Reader):
    """Vectors in .npy files; `source.ids` names files with their ids, or all other columns."""

    name: ClassVar[str] = "npy"
    suffixes: ClassVar[tuple[str, ...]] = (".npy",)
    takes_ids: ClassVar[bool] = True

    def inspect(self, stream: BinaryIO, name: str) -> ShardSchema:
        """Return the number of vectors and their length."""
        shape, _, dtype = read_header(stream)
        _check(shape, dtype)
        kind = pa.float16() if dtype == np.float16 else pa.float32()
        schema = pa.schema([pa.field(VECTOR, pa.list_(kind, shape[1]))])
        return ShardSchema(schema=schema, rows=shape[0], lengths={VECTOR: {shape[1]: shape[0]}})

    def batches(self, shard: LocalShard) -> Iterator[Batch]:
        """Yield slices of the vectors beside the rows of the second file."""
        ids, rows = shard.ids, shard.batch
        vectors = map_foreign(shard.path)
        _check(vectors.shape, vectors.dtype)
        surplus = shard.path.stat().st_size - getattr(vectors, "offset", 0) - vectors.nbytes
        if surplus not in (0, CHECKSUM):
            raise ValueError(f"{surplus:,} bytes follow the array that the header describes")
        if ids is None:
            for begin in range(0, len(vectors), rows):
                part = vectors[begin : begin + rows]
                numbers = np.arange(begin, begin + len(part), dtype=np.int64)
                yield Batch(rows=numbers, table=pa.table({"": pa.nulls(len(part))}), vectors=part)
            return
        read = 0
        for batch in _read_ids(ids, rows):
            read += len(batch.rows) + len(batch.rejects)
            if read > len(vectors):
                raise ValueError(f"{ids.name} has more rows than the {len(vectors):,} vectors")
            table = batch.table.drop_columns([VECTOR]) if VECTOR in batch.table.column_names else batch.table
            yield Batch(rows=batch.rows, table=table, vectors=_take(vectors, batch.rows), rejects=batch.rejects)
        if read != len(vectors):
            raise ValueError(f"{ids.name} has {read:,} rows for {len(vectors):,} vectors")


def _take(vectors: Array, rows: npt.NDArray[np.int64]) -> Array:
    if len(rows) and rows[-1] - rows[0] + 1 == len(rows):
        return vectors[rows[0] : rows[-1] + 1]
    taken: Array = vectors[rows]
    return taken


def _check(shape: tuple[int, ...], dtype: DType) -> None:
    if len(shape) != 2 or dtype.kind not in "fiu":
        raise ValueError(f"expected numbers of shape (n, d), found {dtype} of shape {shape}")
    if not 1 <= shape[1] <= LONGEST_VECTOR:
        raise ValueError(f"vectors of {shape[1]:,} numbers, and the longest allowed is {LONGEST_VECTOR:,}")


def _read_ids(path: Path, rows: int) -> Iterator[Batch]:
    form = format_of(path.name)
    if form is not None and form != NpyReader.name:
        yield from read_batches(form, LocalShard(path, rows))
        return
    for begin, part in _plain_ids(path, rows):
        yield Batch(rows=np.arange(begin, begin + len(part), dtype=np.int64), table=pa.table({"id": part}))


def _plain_ids(path: Path, rows: int) -> Iterator[tuple[int, pa.Array]]:
    if path.suffix == ".npy":
        ids = map_foreign(path)
        if ids.ndim != 1 or ids.dtype.kind not in "iuUS":
            raise ValueError(f"{path.name}: expected ids of shape (n,), found {ids.dtype} of shape {ids.shape}")
        for begin in range(0, len(ids), rows):
            part = ids[begin : begin + rows]
            yield begin, pa.array([item.decode() for item in part.tolist()] if ids.dtype.kind == "S" else part)
        return
    for number, texts in enumerate(read_lines(path, rows, path.name)):
        yield number * rows, pa.array(texts)
