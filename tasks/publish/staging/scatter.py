"""From blocks of the pool to published rows: kept ones are sorted and cut by data file, the others get their fate."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from evenkeel.infra import storage
from evenkeel.infra.errors import AccountingError
from evenkeel.infra.sections import write_sections
from evenkeel.infra.tables import read_range, write_batch, write_table_into
from evenkeel.tasks.dedup.drops import REFUSED
from evenkeel.tasks.dedup.duplicates import Duplicates
from evenkeel.tasks.ingest.pool import Pool
from evenkeel.tasks.publish.layout import open_hashed
from evenkeel.tasks.publish.manifest import FileEntry
from evenkeel.tasks.publish.staging.order import Ids, Order
from evenkeel.tasks.publish.staging.schema import cast

FATES = pa.schema(
    [
        ("ek_row_id", pa.int64()),
        ("ek_id", pa.string()),
        ("fate", pa.string()),
        ("reason", pa.string()),
        ("duplicate_of", pa.int64()),
        ("similarity", pa.float32()),
    ]
)
COUNTED = ("kept", "copies", "deduplicated", "not_sampled", "quarantined")


@dataclass(frozen=True)
class Inputs:
    """What a worker needs to publish rows: where the steps' outputs and the version lie. Small, sent to workers."""

    pool: str
    scratch: str
    duplicates: str
    selection: str
    order: str
    pieces: str
    folder: str
    schema: bytes
    payload: bool
    groups: tuple[str, ...]
    memory: int

    def open_pool(self) -> Pool:
        """Open the pool."""
        return Pool.open(self.pool, self.scratch)


@dataclass(frozen=True)
class Scattered:
    """What one run of blocks left: pieces of kept rows, files of fates, and rows by fate."""

    pieces: list[str]
    fates: list[FileEntry]
    counts: dict[str, int]


def scatter(inputs: Inputs, blocks: tuple[str, ...]) -> Scattered:
    """Write the kept rows of these blocks as pieces sorted for `gather`, and the fates of all the others.

    A piece has one section per data file of the version, its record batch; it holds about `inputs.memory` bytes.
    """
    pool, order = inputs.open_pool(), Order.load(inputs.order)
    result = Scattered([], [], dict.fromkeys(COUNTED, 0))
    held: list[pa.Table] = []
    for block in blocks:
        rows = pool.table(
            block, ["row_id", "shard", "row", "id", "identity", *(f"group.{name}" for name in inputs.groups)]
        )
        kept, places = _kept(inputs, order, rows, block)
        if kept.num_rows:
            held.append(_published(inputs, pool, block, kept, places))
        result.fates.append(_write_fates(inputs, rows, places, block, result.counts))
        result.counts["kept"] += kept.num_rows
        result.counts["copies"] += int(kept["ek_copies"].to_numpy().sum())
        if sum(table.nbytes for table in held) > inputs.memory:
            result.pieces.append(_write_piece(inputs, order, held, f"{block}.pieces"))
            held = []
    if held:
        result.pieces.append(_write_piece(inputs, order, held, f"{blocks[-1]}.pieces"))
    return result


def _kept(inputs: Inputs, order: Order, rows: pa.Table, block: str) -> tuple[pa.Table, npt.NDArray[np.int64]]:
    """Return our columns of the selected rows of a block, and their places in it."""
    ids: Ids = rows["row_id"].to_numpy()
    chosen = read_range(inputs.selection, int(ids[0]), int(ids[-1])) if len(ids) else None
    selected: Ids = chosen["row_id"].to_numpy() if chosen is not None else ids
    places = np.searchsorted(ids, selected).astype(np.int64)
    if not np.array_equal(ids[np.minimum(places, max(len(ids) - 1, 0))], selected):
        raise AccountingError(
            "the selection names rows that are not in the pool",
            where=block,
            remedy="run again: the workspace is mixed up",
        )
    mine = rows.take(places)
    leaf = chosen["leaf"].to_numpy() if chosen is not None else np.empty(0, np.int32)
    columns: dict[str, Any] = {
        "ek_row_id": mine["row_id"].cast(pa.int64()),
        "ek_id": mine["id"],
        "ek_identity": pa.array(mine["identity"].to_numpy().view(np.int64)),
        "ek_shard": mine["shard"],
        "ek_row": mine["row"],
    }
    for level in range(order.paths.shape[1]):
        columns[f"ek_cluster_{level + 1}"] = pa.array(order.paths[leaf, level])
    columns["ek_copies"] = chosen["copies"] if chosen is not None else pa.array([], pa.int32())
    columns["ek_weight"] = chosen["weight"] if chosen is not None else pa.array([], pa.float64())
    columns["ek_group_size"] = Duplicates.open(inputs.duplicates).sizes(selected)
    return pa.table(columns), places


def _published(inputs: Inputs, pool: Pool, block: str, kept: pa.Table, places: npt.NDArray[np.int64]) -> pa.Table:
    """Return the kept rows with the user's columns first: all, or the groups alone for pointers."""
    if inputs.payload:
        theirs = pool.payload(block).take(places)
    else:
        names = [f"group.{name}" for name in inputs.groups]
        theirs = pool.table(block, names).take(places).rename_columns(list(inputs.groups)) if names else None
    columns = [*(theirs.columns if theirs is not None else []), *kept.columns]
    schema = pa.ipc.read_schema(pa.BufferReader(inputs.schema))
    return cast(pa.table(columns, names=schema.names), schema)


def _write_piece(inputs: Inputs, order: Order, held: list[pa.Table], name: str) -> str:
    table = pa.concat_tables(held)
    leaf, row = table["ek_cluster_1"].to_numpy(), table["ek_row_id"].to_numpy().astype(np.uint64)
    by = order.sort(leaf, row)
    batch, cuts = table.take(by).combine_chunks().to_batches()[0], order.cuts(leaf[by], row[by])
    uri = storage.join(inputs.pieces, name)
    write_sections(uri, [write_batch(batch.slice(first, last - first)) for first, last in pairwise(cuts)])
    return uri


def _write_fates(
    inputs: Inputs, rows: pa.Table, places: npt.NDArray[np.int64], block: str, counts: dict[str, int]
) -> FileEntry:
    """Write the fate of every row of a block that was not kept, in pool order, and add to `counts`."""
    ids: Ids = rows["row_id"].to_numpy()
    lost = np.ones(len(ids), dtype=bool)
    lost[places] = False
    dropped = (
        read_range(storage.join(inputs.duplicates, "dropped.parquet"), int(ids[0]), int(ids[-1])) if len(ids) else None
    )
    fate = np.where(lost, "not_sampled", "kept").astype(object)
    reason, of, similarity = (
        np.full(len(ids), "", object),
        np.full(len(ids), -1, np.int64),
        np.full(len(ids), np.nan, np.float32),
    )
    if dropped is not None and dropped.num_rows:
        at = np.searchsorted(ids, dropped["row_id"].to_numpy())
        if not lost[at].all():
            raise AccountingError("a row is both selected and dropped as a duplicate", where=block)
        kind = dropped["kind"].to_numpy(zero_copy_only=False)
        excluded = np.isin(kind, REFUSED)
        fate[at] = np.where(excluded, "quarantined", "deduplicated")
        reason[at] = kind
        of[at] = np.where(excluded, -1, dropped["duplicate_of"].to_numpy().astype(np.int64))
        similarity[at] = dropped["similarity"].to_numpy(zero_copy_only=False)
    for name in ("deduplicated", "not_sampled", "quarantined"):
        counts[name] += int((fate == name).sum())
    table = pa.table(
        {
            "ek_row_id": ids[lost].astype(np.int64),
            "ek_id": rows["id"].filter(pa.array(lost)),
            "fate": fate[lost],
            "reason": reason[lost],
            "duplicate_of": pa.array(of[lost], mask=of[lost] < 0),
            "similarity": pa.array(similarity[lost], mask=np.isnan(similarity[lost])),
        },
        schema=FATES,
    )
    return write_table(inputs.folder, f"fates/{block}.parquet", table)


def write_table(folder: str, path: str, table: pa.Table) -> FileEntry:
    """Write a small table of a version as Parquet with page checksums and return its manifest entry."""
    with open_hashed(storage.join(folder, path)) as out:
        write_table_into(out, table)
    return FileEntry(path=path, bytes=out.bytes, sha256=out.sha256, rows=table.num_rows)
