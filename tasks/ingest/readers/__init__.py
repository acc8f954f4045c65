"""Readers: one small file per format, each turning a shard into batches of rows."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from evenkeel.infra.dtypes import Array
from evenkeel.tasks.ingest.config import ShardFormat


class ShardUnreadable(Exception):
    """A shard cannot be read to its end; none of its rows may be used."""


@dataclass(frozen=True)
class Batch:
    """Consecutive rows of a shard.

    rows: (n,) int64, their numbers in the shard. table: n rows of the shard's columns (one named "" where it has none).
    vectors: (n, d) where they do not lie in the table. rejects: (row number, detail) of rows that do not parse.
    """

    rows: npt.NDArray[np.int64]
    table: pa.Table
    vectors: Array | None = None
    rejects: list[tuple[int, str]] = field(default_factory=list)


@dataclass(frozen=True)
class ShardSchema:
    """The schema of a shard before it is read.

    rows: None where the format does not say how many. lengths: by column of vectors, how often each length occurs in
    the first rows. sample: the schema is that of the first rows alone.
    """

    schema: pa.Schema
    rows: int | None = None
    lengths: dict[str, dict[int, int]] = field(default_factory=dict)
    sample: bool = False


def read_batches(
    form: ShardFormat, path: Path, ids: Path | None, rows: int, vector: str | None, backend: str = "cpu"
) -> Iterator[Batch]:
    """Yield the batches of a local shard, each of at most about `rows` rows.

    Raises ShardUnreadable where the shard cannot be read to its end.
    """
    try:
        if form == "parquet":
            from evenkeel.tasks.ingest.readers.parquet import read_parquet

            yield from read_parquet(path, rows, vector, backend)
        elif form == "jsonl":
            from evenkeel.tasks.ingest.readers.jsonl import read_jsonl

            yield from read_jsonl(path)
        elif form == "csv":
            from evenkeel.tasks.ingest.readers.delimited import read_csv

            yield from read_csv(path)
        elif form == "npy":
            from evenkeel.tasks.ingest.readers.npy import read_npy

            yield from read_npy(path, ids, rows)
        else:
            raise ShardUnreadable(f"no reader for {form}")
    except (ValueError, OSError, EOFError, NotImplementedError, KeyError) as error:
        raise ShardUnreadable(describe(error)) from error


def describe(error: BaseException) -> str:
    """Return an error as one short line."""
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]
