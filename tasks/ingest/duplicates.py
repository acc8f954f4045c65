"""Find and remove rows with duplicate ids, over all shards, in bounded memory: the first in pool order stays."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from evenkeel.infra import storage
from evenkeel.infra.arrays import read_array, write_array
from evenkeel.infra.compute import Compute
from evenkeel.infra.sections import read_sections, write_sections
from evenkeel.infra.tables import read_table, write_table
from evenkeel.tasks.ingest.pool import QUARANTINE_SCHEMA, SHARD_BITS
from evenkeel.tasks.ingest.reasons import Reason
from evenkeel.tasks.ingest.reuse import keep_original

PARTITIONS = 256
_ROWS_AT_ONCE = 4 << 20


@dataclass(frozen=True)
class Duplicate:
    """The duplicates in one block: their row ids, and those of the rows with the same id before, (n,) uint64 each."""

    block: str
    rows: npt.NDArray[np.uint64]
    first: npt.NDArray[np.uint64]


def write_keys(uri: str, keys: npt.NDArray[np.uint64], row_ids: npt.NDArray[np.uint64]) -> None:
    """Write (n, 2) keys and (n,) row ids of a block, sorted by key, in 256 sections of which a reader takes a few."""
    order = np.lexsort((row_ids, keys[:, 1], keys[:, 0]))
    records = np.column_stack([keys[order], row_ids[order]])
    bounds = np.arange(1, PARTITIONS, dtype=np.uint64) << np.uint64(56)
    places = np.concatenate([[0], np.searchsorted(records[:, 0], bounds), [len(records)]])
    little = np.ascontiguousarray(records, "<u8")
    write_sections(uri, [little[first:last].tobytes() for first, last in pairwise(places)])


def find_duplicates(
    folder: str, names: Sequence[str], firsts: npt.NDArray[np.uint64], rows: int, compute: Compute
) -> list[Duplicate]:
    """Return the rows of each block whose id occurs in an earlier row.

    folder: where `write_keys` left one file per block. names, firsts: the blocks in pool order and their first row ids.
    """
    groups = min(PARTITIONS, max(1, -(-rows // _ROWS_AT_ONCE)))
    spans = [(PARTITIONS * at // groups, PARTITIONS * (at + 1) // groups) for at in range(groups)]
    found = compute.map(partial(_within, folder, list(names)), spans, work=24 * rows)
    pairs = np.concatenate(found) if found else np.empty((0, 2), dtype=np.uint64)
    pairs = pairs[np.argsort(pairs[:, 0])]
    where = np.searchsorted(firsts, pairs[:, 0], side="right") - 1
    return [Duplicate(names[at], pairs[where == at, 0], pairs[where == at, 1]) for at in np.unique(where).tolist()]


def _within(folder: str, names: list[str], span: tuple[int, int]) -> npt.NDArray[np.uint64]:
    """Return (row, first row) of the duplicates among the keys of some partitions, (m, 2) uint64."""
    parts = []
    for name in names:
        sections = read_sections(storage.join(folder, f"{name}.bin"), *span)
        parts += [np.frombuffer(section, "<u8") for section in sections if len(section)]
    if not parts:
        return np.empty((0, 2), dtype=np.uint64)
    records = np.concatenate(parts).reshape(-1, 3)
    records = records[np.lexsort((records[:, 2], records[:, 1], records[:, 0]))]
    again = (records[1:, 0] == records[:-1, 0]) & (records[1:, 1] == records[:-1, 1])
    begins = np.concatenate([[True], ~again])
    first = records[begins, 2][np.cumsum(begins) - 1]
    return np.column_stack([records[~begins, 2], first[~begins]])


def drop_duplicates(out: str, shard_names: Mapping[int, str], duplicate: Duplicate) -> None:
    """Move the duplicates of a block from its files to the quarantine; safe to repeat after a crash.

    The files as they were read are kept in `originals/`, for later runs in which other rows come first.
    """
    rows_uri = storage.join(out, "rows", f"{duplicate.block}.parquet")
    rows = read_table(rows_uri)
    gone = np.isin(rows["row_id"].to_numpy(), duplicate.rows)
    if not gone.any():
        return
    for part in ("rows", "payload", "vectors"):
        keep_original(out, part, duplicate.block)
    taken = rows.filter(pa.array(gone))
    first = duplicate.first.astype(np.uint64)
    details = [
        f"first in row {int(at) & ((1 << SHARD_BITS) - 1)} of {shard_names[int(at) >> SHARD_BITS]}" for at in first
    ]
    quarantine = pa.table(
        [taken[name] for name in ("row_id", "shard", "row", "id")]
        + [pa.array([Reason.DUPLICATE_ID.label] * len(details)), pa.array(details)],
        schema=QUARANTINE_SCHEMA,
    )
    write_table(storage.join(out, "quarantine", f"{duplicate.block}.parquet"), quarantine)
    kept = ~gone
    payload_uri = storage.join(out, "payload", f"{duplicate.block}.parquet")
    payload = read_table(payload_uri)
    if payload.num_rows == len(kept):
        write_table(payload_uri, payload.filter(pa.array(kept)))
    vectors_uri = storage.join(out, "vectors", f"{duplicate.block}.npy")
    if storage.exists(vectors_uri):
        vectors = read_array(vectors_uri)
        if len(vectors) == len(kept):
            write_array(vectors_uri, vectors[kept])
    write_table(rows_uri, rows.filter(pa.array(kept)))
