"""Files that a recipe names beside its source - lists of ids, texts, entries: finding, fingerprinting, reading them."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from evenkeel.infra import storage
from evenkeel.infra.dtypes import Array
from evenkeel.infra.errors import InputError
from evenkeel.tasks.ingest.config import SourceConfig
from evenkeel.tasks.ingest.id_files import read_lines
from evenkeel.tasks.ingest.listing import ListedShard
from evenkeel.tasks.ingest.reader import LocalShard, ShardUnreadable, read_batches
from evenkeel.tasks.ingest.source import find_shards

ROWS = 1 << 16
LISTS = "the list that the recipe names"


def find_files(uri: str | list[str]) -> list[ListedShard]:
    """Return the files at some places, plain text (.txt) first. Raises InputError where there is none."""
    places = [uri] if isinstance(uri, str) else uri
    lines = [place for place in places if place.endswith(".txt")]
    others = [place for place in places if not place.endswith(".txt")]
    found = find_shards(SourceConfig(uri=lines, format="csv"), LISTS) if lines else []
    return found + (find_shards(SourceConfig(uri=others), LISTS) if others else [])


def fingerprint(uri: str | list[str]) -> str:
    """Return a hash that changes with the files at some places. Cheap: lists the store, opens nothing."""
    return fingerprint_of_files(find_files(uri))


def fingerprint_of_files(files: list[ListedShard]) -> str:
    """Return a hash that changes with some files that were found."""
    known = json.dumps([(file.uri, file.bytes, file.fingerprint) for file in files])
    return hashlib.sha256(known.encode()).hexdigest()[:20]


def read_strings(file: ListedShard, column: str, scratch: Path, what: str) -> Iterator[pa.ChunkedArray]:
    """Yield the lines of a .txt file, or one column of any other, some rows at a time, as they are.

    what: the list in messages, such as `the exclusion list`. Raises InputError where it cannot be read.
    """
    path = storage.local_copy(file.uri, scratch)
    if file.uri.endswith(".txt"):
        for lines in read_lines(path, ROWS, file.uri, what):
            yield pa.chunked_array([pa.array(lines, pa.string())])
        return
    for table, _ in read_tables(file, path, None, what):
        yield column_of(table, column, file.uri, what)


def read_tables(
    file: ListedShard, path: Path, vector: str | None, what: str
) -> Iterator[tuple[pa.Table, Array | None]]:
    """Yield the rows of a file, some at a time, with one column of vectors. Raises InputError for a row that fails."""
    try:
        for batch in read_batches(file.format, LocalShard(path, ROWS, vector)):
            for row, why in batch.rejects[:1]:
                raise InputError(
                    f"{what} has rows that do not parse: what they name would be passed over",
                    found=f"{why}" + (f", and {len(batch.rejects) - 1:,} more" if len(batch.rejects) > 1 else ""),
                    where=f"{file.uri}, row {row:,}",
                    remedy="correct the list",
                )
            yield batch.table, batch.vectors
    except ShardUnreadable as error:
        raise InputError(f"{what} cannot be read", found=str(error), where=file.uri) from error


def column_of(table: pa.Table, column: str, where: str, what: str) -> pa.ChunkedArray:
    """Return a column of a file's rows. Raises InputError where there is none of that name."""
    if column not in table.column_names:
        raise InputError(
            f"{what} has no column {column!r}",
            expected=f"one of {', '.join(table.column_names)}",
            where=where,
            remedy="name the column that is there (column, text or vector), or another file",
        )
    return table[column]
