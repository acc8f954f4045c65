"""Exclusion lists: finding their files, fingerprinting them, reading one column of them."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa

from evenkeel.infra import storage
from evenkeel.infra.dtypes import Array, Float32Array
from evenkeel.infra.errors import InputError
from evenkeel.tasks.dedup.config import DedupConfig, ExclusionList, IdList
from evenkeel.tasks.ingest.columns import conform
from evenkeel.tasks.ingest.config import SourceConfig
from evenkeel.tasks.ingest.id_files import ids_of_column, read_lines
from evenkeel.tasks.ingest.listing import ListedShard
from evenkeel.tasks.ingest.reader import LocalShard, ShardUnreadable, read_batches
from evenkeel.tasks.ingest.source import find_shards

ROWS = 1 << 16


def dedup_request(config: DedupConfig, takedowns: str | None = None) -> DedupConfig:
    """Return what the dedup step is called with: the config, with the fingerprint of each exclusion list as it is now.

    takedowns: a folder of takedown files, one more list where it has any. Cheap: lists the store, opens nothing. So a
    changed list changes the key of the step. Raises InputError where a list is not there.
    """
    lists = list(config.exclude)
    if takedowns is not None and storage.list_files(takedowns):
        lists.append(IdList(uri=takedowns))
    known = [one.model_copy(update={"fingerprint": _fingerprint(find_files(one))}) for one in lists]
    return config.model_copy(update={"exclude": known})


def find_files(one: ExclusionList) -> list[ListedShard]:
    """Return the files of a list, by name."""
    places = [one.uri] if isinstance(one.uri, str) else one.uri
    lines = [place for place in places if place.endswith(".txt")]
    others = [place for place in places if not place.endswith(".txt")]
    found = find_shards(SourceConfig(uri=lines, format="csv")) if lines else []
    return found + (find_shards(SourceConfig(uri=others)) if others else [])


def read_texts(one: ExclusionList, column: str, scratch: Path) -> Iterator[pa.ChunkedArray]:
    """Yield one column of a list as strings, some rows at a time, nulls left out. Raises InputError without it."""
    for file in find_files(one):
        path = storage.local_copy(file.uri, scratch)
        if file.uri.endswith(".txt"):
            for lines in read_lines(path, ROWS, file.uri):
                yield pa.chunked_array([pa.array([text for line in lines if (text := line.strip())], pa.string())])
        elif (ids := _takedown(file.uri, path)) is not None:
            yield pa.chunked_array([pa.array(ids, pa.string())])
        else:
            for table, _ in _batches(file, path, None):
                found = _column(table, column, file.uri)
                if isinstance(one, IdList):
                    yield ids_of_column(found, file.uri)
                else:
                    yield conform(found, pa.string()).drop_null()


def read_vectors(one: ExclusionList, column: str, scratch: Path) -> Float32Array:
    """Return the vectors of a list, (n, d) float32. Raises InputError where they are not all of one length."""
    parts = []
    for file in find_files(one):
        for table, vectors in _batches(file, storage.local_copy(file.uri, scratch), column):
            if vectors is None:
                lists = _column(table, column, file.uri).combine_chunks()
                flat = lists.flatten().to_numpy(zero_copy_only=False)
                if len(lists) and len(flat) % len(lists):
                    raise InputError("the vectors of a list differ in length", where=f"{file.uri}, column {column}")
                vectors = flat.reshape(len(lists), -1)
            parts.append(vectors.astype(np.float32))
    if len({part.shape[1] for part in parts if len(part)}) > 1:
        raise InputError("the vectors of a list differ in length", where=str(one.uri))
    return np.concatenate(parts) if parts else np.empty((0, 0), np.float32)


def _batches(file: ListedShard, path: Path, vector: str | None) -> Iterator[tuple[pa.Table, Array | None]]:
    try:
        for batch in read_batches(file.format, LocalShard(path, ROWS, vector)):
            for row, why in batch.rejects[:1]:
                raise InputError(
                    "an exclusion list has rows that do not parse: what they name would stay",
                    found=f"{why}" + (f", and {len(batch.rejects) - 1:,} more" if len(batch.rejects) > 1 else ""),
                    where=f"{file.uri}, row {row:,}",
                    remedy="correct the list",
                )
            yield batch.table, batch.vectors
    except ShardUnreadable as error:
        raise InputError("an exclusion list cannot be read", found=str(error), where=file.uri) from error


def _column(table: pa.Table, column: str, where: str) -> pa.ChunkedArray:
    if column not in table.column_names:
        raise InputError(
            f"the exclusion list has no column {column!r}",
            expected=f"one of {', '.join(table.column_names)}",
            where=where,
            remedy="name it: column",
        )
    return table[column]


def _takedown(uri: str, path: Path) -> list[str] | None:
    """Return the ids of a takedown file, `{"ids": [...]}`; None for any other file."""
    if not uri.endswith(".json"):
        return None
    try:
        document = json.loads(path.read_bytes())
    except ValueError:
        return None
    ids = document.get("ids") if isinstance(document, dict) else None
    return [str(one) for one in ids] if isinstance(ids, list) else None


def _fingerprint(files: list[ListedShard]) -> str:
    known = json.dumps([(file.uri, file.bytes, file.fingerprint) for file in files])
    return hashlib.sha256(known.encode()).hexdigest()[:20]
