"""From blocks of the pool to published rows: kept ones are sorted and cut by data file, others listed with reasons."""

from collections import Counter
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from evenkeel.infra import storage
from evenkeel.infra.errors import AccountingError
from evenkeel.infra.sections import write_sections
from evenkeel.infra.tables import put_together, read_range, write_batch
from evenkeel.infra.workspace import StepRef
from evenkeel.tasks.annotate.columns import read_columns
from evenkeel.tasks.dedup.duplicates import Duplicates
from evenkeel.tasks.ingest.pool import Pool
from evenkeel.tasks.publish.manifest import FileEntry
from evenkeel.tasks.publish.staging import dispositions
from evenkeel.tasks.publish.staging.beside import write_table
from evenkeel.tasks.publish.staging.excerpt import Excerpt, row_columns
from evenkeel.tasks.publish.staging.order import Ids, Order
from evenkeel.tasks.publish.staging.schema import cast

COUNTED = ("kept", "copies", "deduplicated", "filtered", "not_sampled", "quarantined")

SIGNAL_TYPES = {"score": pa.float64(), "tags": pa.list_(pa.string()), "group": pa.string()}


@dataclass(frozen=True)
class ScatterJob:
    """What a worker needs to publish rows: where the steps' outputs and the version lie. Small, sent to workers.

    fates: whether the dispositions of all other rows are written. excerpt: where the selected rows are read from, in
    place of the pool; all other rows were counted when it was made.
    """

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
    signals: dict[str, StepRef]
    annotations: dict[str, StepRef]
    memory: int
    fates: bool = True
    excerpt: Excerpt | None = None

    def open_pool(self) -> Pool:
        """Open the pool, with the signals that become columns."""
        return Pool.open(self.pool, self.scratch, self.signals)


@dataclass(frozen=True)
class Scattered:
    """What one run of blocks left: pieces of kept rows, files of dispositions, and rows by disposition."""

    pieces: list[str]
    dispositions: list[FileEntry]
    counts: Counter[str]


def scatter(job: ScatterJob, blocks: tuple[str, ...]) -> Scattered:
    """Write the kept rows of these blocks as pieces sorted for `gather`, and the dispositions of all the others.

    A piece has one section per data file of the version, its record batch; it holds about `job.memory` bytes.
    """
    pool, order = job.open_pool(), Order.load(job.order)
    result = Scattered([], [], Counter(dict.fromkeys(COUNTED, 0)))
    held: list[pa.Table] = []
    for block in blocks:
        rows = (job.excerpt or pool).table(block, row_columns(pool))
        kept, places = _kept(job, order, rows, block, list(pool.signals))
        if kept.num_rows:
            held = put_together([*held, _published(job, job.excerpt or pool, block, kept, places)])
        if job.fates:
            others = dispositions.of_a_block(rows, places, _dropped(job, rows))
            result.dispositions.append(write_table(job.folder, f"{dispositions.FOLDER}/{block}.parquet", others))
            result.counts.update(dispositions.count(others))
        elif job.excerpt is None:
            result.counts.update(dispositions.counted(rows, places, _dropped(job, rows)))
        result.counts["kept"] += kept.num_rows
        result.counts["copies"] += int(kept["ek_copies"].to_numpy().sum())
        if sum(table.nbytes for table in held) > job.memory:
            result.pieces.append(_write_piece(job, order, held, f"{block}.pieces"))
            held = []
    if held:
        result.pieces.append(_write_piece(job, order, held, f"{blocks[-1]}.pieces"))
    return result


def signal_name(column: str) -> str:
    """Return what the column of a signal is called in a version."""
    return f"ek_signal_{column.partition('.')[2]}"


def _kept(
    job: ScatterJob, order: Order, rows: pa.Table, block: str, signals: list[str]
) -> tuple[pa.Table, npt.NDArray[np.int64]]:
    """Return our columns of the selected rows of a block, and their places in it."""
    ids: Ids = rows["row_id"].to_numpy()
    chosen = read_range(job.selection, int(ids[0]), int(ids[-1])) if len(ids) else None
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
    columns: dict[str, pa.Array | pa.ChunkedArray] = {
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
    columns["ek_group_size"] = Duplicates.open(job.duplicates).sizes(selected)
    columns |= {signal_name(name): mine[name] for name in signals}
    if (theirs := read_columns(job.annotations, block)) is not None:
        if not np.array_equal(theirs["row_id"].to_numpy(), selected):
            raise AccountingError("an annotation was made for other rows", where=block, remedy="run again")
        columns |= {name: theirs[name] for name in theirs.column_names[1:]}
    return pa.table(columns), places


def _dropped(job: ScatterJob, rows: pa.Table) -> pa.Table | None:
    """Return the rows of a block that deduplication dropped."""
    ids = rows["row_id"]
    if not len(ids):
        return None
    return read_range(storage.join(job.duplicates, "dropped.parquet"), ids[0].as_py(), ids[-1].as_py())


def _published(
    job: ScatterJob, pool: Pool | Excerpt, block: str, kept: pa.Table, places: npt.NDArray[np.int64]
) -> pa.Table:
    """Return the kept rows with the user's columns first: all, or the groups alone for pointers."""
    if job.payload:
        theirs = pool.payload(block).take(places)
    else:
        names = [f"group.{name}" for name in job.groups]
        theirs = pool.table(block, names).take(places).rename_columns(list(job.groups)) if names else None
    columns = [*(theirs.columns if theirs is not None else []), *kept.columns]
    schema = pa.ipc.read_schema(pa.BufferReader(job.schema))
    return cast(pa.table(columns, names=schema.names), schema)


def _write_piece(job: ScatterJob, order: Order, held: list[pa.Table], name: str) -> str:
    table = pa.concat_tables(held)
    leaf, row = order.keys(table)
    by = order.sort(leaf, row)
    batch, cuts = table.take(by).combine_chunks().to_batches()[0], order.cuts(leaf[by], row[by])
    uri = storage.join(job.pieces, name)
    write_sections(uri, [write_batch(batch.slice(first, last - first)) for first, last in pairwise(cuts)])
    return uri
