"""Write what was read of shards: blocks of checked rows, and files of refused ones."""

import base64
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from evenkeel.infra import storage
from evenkeel.infra.arrays import write_array
from evenkeel.infra.tables import read_table, write_table
from evenkeel.tasks.ingest import columns
from evenkeel.tasks.ingest.duplicates import write_keys
from evenkeel.tasks.ingest.plan import ShardJob
from evenkeel.tasks.ingest.pool import QUARANTINE_SCHEMA, SHARD_BITS
from evenkeel.tasks.ingest.reader import format_of, reader_of
from evenkeel.tasks.ingest.report import BlockReport
from evenkeel.tasks.ingest.reuse import BLOCK_FILES
from evenkeel.tasks.ingest.rows import CheckedRows, Refusal, row_table, typed
from evenkeel.tasks.ingest.schemas import storable

PART_ROWS = 1 << 18
ID = "row_id"
ROW_ID = "ek_row_id"  # beside columns of the user's, none of which has such a name


@dataclass
class RefusedRows:
    """Collects refused rows and writes a file whenever there are enough. prefix: of the names of the files."""

    out: str
    prefix: str
    names: list[str] = field(default_factory=list)
    waiting: list[pa.Table] = field(default_factory=list)

    def add(self, table: pa.Table) -> str:
        """Take rows, and return the name of the file that will hold them."""
        name = f"{self.prefix}{len(self.names):06d}.parquet"
        self.waiting.append(table)
        if sum(part.num_rows for part in self.waiting) >= PART_ROWS:
            self.finish()
        return name

    def finish(self) -> None:
        """Write the rows that are in no file yet."""
        if self.waiting:
            name = f"{self.prefix}{len(self.names):06d}.parquet"
            write_table(storage.join(self.out, "quarantine", name), pa.concat_tables(self.waiting))
            self.names.append(name)
            self.waiting = []


def refused_rows(shard: int, refusals: Iterable[Refusal]) -> pa.Table:
    """Return refused rows of a shard as the quarantine holds them, in order."""
    rows, ids, reasons, details = zip(*sorted(refusals, key=lambda refusal: refusal[0]), strict=True)
    labels = [reason.label for reason in reasons]
    return quarantined(shard, np.array(rows, dtype=np.int64), list(ids), labels, list(details))


def quarantined(
    shard: int, rows: npt.NDArray[np.int64], ids: pa.Array | list[str], reasons: list[str], details: list[str]
) -> pa.Table:
    """Return rows of the quarantine: numbers in the shard (n,), ids, reasons and details."""
    row_ids = rows.astype(np.uint64) | np.uint64(shard << SHARD_BITS)
    shards = np.full(len(rows), shard, dtype=np.int32)
    return pa.table([row_ids, shards, rows, ids, reasons, details], schema=QUARANTINE_SCHEMA)


def write_block(job: ShardJob, name: str, rows: CheckedRows) -> BlockReport:
    """Write the files of a block and return what it is; job: one of those that read its shards."""
    table = row_table(rows, job.plan)
    payload, written = typed(rows.payload, job.plan) if _is_text(job) else (rows.payload, [])
    if "" in payload.column_names:
        payload = payload.drop_columns([""])
    if payload.num_columns == 0:
        payload = pa.table({"id": rows.ids})
    write_table(storage.join(job.out, "rows", f"{name}.parquet"), table)
    payload = storable(payload)
    write_table(storage.join(job.out, "payload", f"{name}.parquet"), payload)
    if written:
        texts = rows.payload.select(written).append_column(ROW_ID, table[ID])
        write_table(storage.join(job.out, "written", f"{name}.parquet"), texts)
    if rows.vectors is not None:
        write_array(storage.join(job.out, "vectors", f"{name}.npy"), rows.vectors)
    if job.plan.id is not None:
        keys = storage.join(job.out, "keys", f"{name}.bin")
        write_keys(keys, columns.id_keys(rows.ids), table[ID].to_numpy())
    schema = base64.b64encode(payload.schema.serialize()).decode()
    first = int(table[ID][0].as_py())
    return BlockReport(name=name, rows=table.num_rows, first=first, schema_=schema, written=written)


def as_written(out: str, name: str, payload: pa.Table, schema: pa.Schema) -> pa.Table:
    """Return the payload of a block with numbers as the texts they were read as, where they are texts in a schema."""
    texts = read_table(storage.join(out, "written", f"{name}.parquet"))
    row_ids = read_table(storage.join(out, "rows", f"{name}.parquet"), [ID])[ID].to_numpy()
    places = pa.array(np.searchsorted(texts[ROW_ID].to_numpy(), row_ids))  # rows may have been taken out since
    for at, column in enumerate(payload.column_names):
        if column in texts.column_names and pa.types.is_string(schema.field(column).type):
            payload = payload.set_column(at, column, texts[column].take(places))
    return payload


def block_name(shard: int, number: int = 0) -> str:
    """Return the name of a block that begins with a row of a shard."""
    return f"s{shard:06d}-b{number:06d}"


def remove_block(out: str, name: str) -> None:
    """Remove the files of a block, those that there are."""
    for part, suffix in BLOCK_FILES.items():
        storage.remove(storage.join(out, part, f"{name}.{suffix}"))


def _is_text(job: ShardJob) -> bool:
    """Tell whether the values of a shard, or of the file beside it, come as text."""
    forms = (job.shard.format, None if job.shard.ids is None else format_of(job.shard.ids))
    return any(form is not None and reader_of(form).types == "text" for form in forms)
