"""Exclusion lists: finding their files, fingerprinting them, reading one column of them."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from evenkeel.infra import storage
from evenkeel.infra.dtypes import Float32Array
from evenkeel.infra.errors import InputError
from evenkeel.tasks.dedup.config import DedupConfig, ExclusionList, IdList
from evenkeel.tasks.ingest.columns import conform
from evenkeel.tasks.ingest.id_files import ids_of_column
from evenkeel.tasks.ingest.lists import column_of, find_files, fingerprint, read_strings, read_tables

WHAT = "an exclusion list"


def dedup_request(config: DedupConfig, takedowns: str | None = None) -> DedupConfig:
    """Return what the dedup step is called with: the config, with the fingerprint of each exclusion list as it is now.

    takedowns: a folder of takedown files, one more list where it has any. Cheap: lists the store, opens nothing. So a
    changed list changes the key of the step. Raises InputError where a list is not there.
    """
    lists = list(config.exclude)
    if takedowns is not None and storage.list_files(takedowns):
        lists.append(IdList(uri=takedowns))
    known = [one.model_copy(update={"fingerprint": fingerprint(one.uri)}) for one in lists]
    return config.model_copy(update={"exclude": known})


def read_texts(one: ExclusionList, column: str, scratch: Path, what: str = WHAT) -> Iterator[pa.ChunkedArray]:
    """Yield one column of a list as strings, some rows at a time, nulls left out. Raises InputError without it."""
    for file in find_files(one.uri):
        path = storage.local_copy(file.uri, scratch)
        if file.uri.endswith(".txt"):
            for lines in read_strings(file, column, scratch, what):
                texts = pc.utf8_trim_whitespace(lines)
                yield texts.filter(pc.not_equal(texts, ""))
        elif (ids := _takedown(file.uri, path)) is not None:
            yield pa.chunked_array([pa.array(ids, pa.string())])
        else:
            for found in read_strings(file, column, scratch, what):
                if isinstance(one, IdList):
                    yield ids_of_column(found, file.uri)
                else:
                    yield conform(found, pa.string()).drop_null()


def vector_parts(one: ExclusionList, column: str, scratch: Path, what: str = WHAT) -> Iterator[Float32Array]:
    """Yield the vectors of a list, (n, d) float32, some at a time, no part empty. InputError: they differ in length."""
    length = None
    for file in find_files(one.uri):
        for table, vectors in read_tables(file, storage.local_copy(file.uri, scratch), column, what):
            if vectors is None:
                lists = column_of(table, column, file.uri, what).combine_chunks()
                flat = lists.flatten().to_numpy(zero_copy_only=False)
                if len(lists) and len(flat) % len(lists):
                    raise InputError(f"the vectors of {what} differ in length", where=f"{file.uri}, column {column}")
                vectors = flat.reshape(len(lists), -1)
            if not len(vectors):
                continue
            if length not in (None, vectors.shape[1]):
                raise InputError(f"the vectors of {what} differ in length", where=str(one.uri))
            length = vectors.shape[1]
            yield vectors.astype(np.float32)


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
