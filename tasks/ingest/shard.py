"""Reading one shard: batches in, checked blocks and named refusals out, in memory bounded by a block."""

import base64
import shutil
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic import BaseModel

from infra import storage
from infra.errors import InputError
from tasks.ingest import columns
from tasks.ingest.config import ShardStamp
from tasks.ingest.plan import Plan
from tasks.ingest.pool import QUARANTINE_SCHEMA, SHARD_BITS
from tasks.ingest.readers import Batch, ShardUnreadable, read_batches
from tasks.ingest.reasons import Reason
from tasks.ingest.source import stamp_of
from tasks.ingest.vectors import check_matrix, to_matrix

_PART_ROWS = 1 << 18


@dataclass(frozen=True)
class ShardJob:
    """All that a worker needs to read one shard into the folder `out`."""

    number: int
    stamp: ShardStamp
    plan: Plan
    out: str
    scratch: Path
    rows_per_block: int
    max_row_bytes: int
    backend: str = "cpu"


class BlockReport(BaseModel):
    """A block as it was written; `schema_` is its payload's Arrow schema in base64."""

    name: str
    rows: int
    first: int
    schema_: str


class ShardReport(BaseModel):
    """What became of a shard; rows = accepted + quarantined. A shard with a `reason` has no block."""

    number: int
    bytes: int
    sha256: str
    rows: int = 0
    reasons: dict[str, int] = {}
    blocks: list[BlockReport] = []
    reason: str = ""
    detail: str = ""


def read_shard(job: ShardJob) -> ShardReport:
    """Read one shard, write its blocks and refusals, and report; a shard that was finished before is not read again.

    Raises InputError where the shard changed since the run began.
    """
    place = storage.join(job.out, "reports", f"s{job.number:06d}.json")
    try:
        return ShardReport.model_validate(storage.read_json(place))
    except FileNotFoundError:
        report = _read(job)
        storage.write_json(place, report.model_dump(mode="json"))
        return report


def _read(job: ShardJob) -> ShardReport:
    if stamp_of(job.stamp.uri) != (job.stamp.bytes, job.stamp.stamp):
        raise InputError(
            "a shard changed while the run was reading the source",
            where=job.stamp.uri,
            remedy="run again when the source is still; write new shards under new names",
        )
    folder = job.scratch / "shards" / f"{job.number:06d}"
    try:
        path = storage.local_copy(job.stamp.uri, folder)
        digest = storage.sha256(str(path))
        if job.number in job.plan.refused:
            reason, detail, rows = job.plan.refused[job.number]
            return _refused(job, digest, reason, detail, rows)
        ids = None if job.stamp.ids is None else storage.local_copy(job.stamp.ids, folder)
        writer = _Writer(job)
        try:
            for batch in read_batches(job.stamp.format, path, ids, job.rows_per_block, job.plan.vector, job.backend):
                writer.add(batch)
        except ShardUnreadable as error:
            writer.discard()
            return _refused(job, digest, Reason.UNREADABLE_SHARD, str(error), _rows_told(job, path))
        return writer.finish(digest)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _rows_told(job: ShardJob, path: Path) -> int | None:
    """Return how many rows an unreadable shard says it has, None where it does not say."""
    try:
        return int(pq.read_metadata(path).num_rows) if job.stamp.format == "parquet" else None
    except (ValueError, OSError):
        return None


def _refused(job: ShardJob, digest: str, reason: Reason, detail: str, rows: int | None) -> ShardReport:
    """Report a shard none of whose rows can be used; rows it is known to have are quarantined one by one."""
    for part, begin in enumerate(range(0, rows or 0, _PART_ROWS)):
        numbers = np.arange(begin, min(begin + _PART_ROWS, rows or 0), dtype=np.int64)
        ids, details = pa.nulls(len(numbers), pa.string()).fill_null(""), [detail] * len(numbers)
        _write_quarantine(job, f"{part:06d}", numbers, ids, [reason.label] * len(numbers), details)
    return ShardReport(
        number=job.number,
        bytes=job.stamp.bytes,
        sha256=digest,
        rows=rows or 0,
        reasons={reason.label: rows} if rows else {},
        reason=reason.label,
        detail=detail,
    )


def _write_quarantine(
    job: ShardJob, part: str, rows: npt.NDArray[np.int64], ids: Any, reasons: list[str], details: list[str]
) -> None:
    row_ids = rows.astype(np.uint64) | np.uint64(job.number << SHARD_BITS)
    shards = np.full(len(rows), job.number, dtype=np.int32)
    table = pa.table([row_ids, shards, rows, ids, reasons, details], schema=QUARANTINE_SCHEMA)
    write_parquet(table, storage.join(job.out, "quarantine", f"s{job.number:06d}-{part}.parquet"))


def write_parquet(table: pa.Table, uri: str) -> None:
    """Write a table so that a flipped bit is found when it is read."""
    with storage.open_write(uri) as stream:
        pq.write_table(table, stream, compression="zstd", write_page_checksum=True)


@dataclass
class _Writer:
    """Collects the sound rows of a shard and writes a block whenever there are enough for one."""

    job: ShardJob
    rows: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    blocks: list[BlockReport] = field(default_factory=list)
    waiting: list["_Rows"] = field(default_factory=list)
    refusals: list[tuple[int, str, Reason, str]] = field(default_factory=list)
    parts: int = 0

    def add(self, batch: Batch) -> None:
        """Check a batch; keep the sound rows, name the others."""
        self.rows += len(batch.rows) + len(batch.rejects)
        self.refusals += [(row, "", Reason.UNPARSABLE_ROW, detail) for row, detail in batch.rejects]
        if len(batch.rows):
            checked, refusals = _check(batch, self.job)
            self.refusals += refusals
            self.waiting.append(checked)
        size = self.job.rows_per_block
        while sum(len(rows.numbers) for rows in self.waiting) >= size:
            together = _together(self.waiting)
            self._write_block(together.slice(0, size))
            self.waiting = [together.slice(size, len(together.numbers))]
        if len(self.refusals) >= _PART_ROWS:
            self._write_refusals()

    def finish(self, digest: str) -> ShardReport:
        """Write what is left and report."""
        if any(len(rows.numbers) for rows in self.waiting):
            self._write_block(_together(self.waiting))
        self._write_refusals()
        job = self.job
        return ShardReport(
            number=job.number,
            bytes=job.stamp.bytes,
            sha256=digest,
            rows=self.rows,
            reasons=dict(sorted(self.reasons.items())),
            blocks=self.blocks,
        )

    def discard(self) -> None:
        """Remove all that was written of a shard that turned out to be unreadable."""
        for block in self.blocks:
            remove_block(self.job.out, block.name)
        for part in range(self.parts):
            storage.remove(storage.join(self.job.out, "quarantine", f"s{self.job.number:06d}-{part:06d}.parquet"))

    def _write_refusals(self) -> None:
        if self.refusals:
            self.refusals.sort(key=lambda refusal: refusal[0])
            rows, ids, reasons, details = zip(*self.refusals, strict=True)
            labels = [reason.label for reason in reasons]
            self.reasons.update(labels)
            _write_quarantine(
                self.job, f"{self.parts:06d}", np.array(rows, dtype=np.int64), list(ids), labels, list(details)
            )
            self.parts += 1
            self.refusals = []

    def _write_block(self, rows: "_Rows") -> None:
        name = f"s{self.job.number:06d}-b{len(self.blocks):06d}"
        table = _row_table(rows, self.job)
        payload = rows.payload
        if self.job.stamp.format == "csv" or (self.job.stamp.ids or "").lower().find(".csv") > 0:
            payload = _typed(payload, self.job.plan)
        if payload.num_columns == 0:
            payload = pa.table({"id": rows.ids})
        write_parquet(table, storage.join(self.job.out, "rows", f"{name}.parquet"))
        write_parquet(payload, storage.join(self.job.out, "payload", f"{name}.parquet"))
        if rows.vectors is not None:
            with storage.open_write(storage.join(self.job.out, "vectors", f"{name}.npy")) as stream:
                np.save(stream, rows.vectors, allow_pickle=False)
        if self.job.plan.id is not None:
            from tasks.ingest.duplicates import write_keys

            write_keys(
                storage.join(self.job.out, "keys", f"{name}.bin"), columns.id_keys(rows.ids), table["row_id"].to_numpy()
            )
        schema = base64.b64encode(payload.schema.serialize()).decode()
        first = int(table["row_id"][0].as_py())
        self.blocks.append(BlockReport(name=name, rows=table.num_rows, first=first, schema_=schema))


def remove_block(out: str, name: str) -> None:
    """Remove the files of a block."""
    for part, suffix in (("rows", "parquet"), ("payload", "parquet"), ("vectors", "npy"), ("keys", "bin")):
        storage.remove(storage.join(out, part, f"{name}.{suffix}"))


@dataclass(frozen=True)
class _Rows:
    """Sound rows on their way to a block: numbers (n,), ids, payload, groups and scores by name, vectors (n, d)."""

    numbers: npt.NDArray[np.int64]
    ids: pa.ChunkedArray
    payload: pa.Table
    extra: pa.Table
    vectors: npt.NDArray[Any] | None

    def slice(self, begin: int, end: int) -> "_Rows":
        vectors = None if self.vectors is None else self.vectors[begin:end]
        return _Rows(
            self.numbers[begin:end],
            self.ids.slice(begin, end - begin),
            self.payload.slice(begin, end - begin),
            self.extra.slice(begin, end - begin),
            vectors,
        )


def _together(parts: list[_Rows]) -> _Rows:
    if len(parts) == 1:
        return parts[0]
    vectors = [part.vectors for part in parts if part.vectors is not None]
    return _Rows(
        np.concatenate([part.numbers for part in parts]),
        pa.chunked_array([chunk for part in parts for chunk in part.ids.chunks], pa.string()),
        stack([part.payload for part in parts]),
        pa.concat_tables([part.extra for part in parts]),
        np.concatenate(vectors) if vectors else None,
    )


def stack(tables: list[pa.Table]) -> pa.Table:
    """Return tables one below the other, their columns in the types they have in common, text where they have none."""
    schema = common_schema([table.schema for table in tables])
    return pa.concat_tables([conform_table(table, schema) for table in tables])


def common_schema(schemas: list[pa.Schema]) -> pa.Schema:
    """Return all columns, in the order they first appear, each in the type that holds the values of every schema."""
    kinds: dict[str, pa.DataType] = {}
    for schema in schemas:
        for item in schema:
            known = kinds.get(item.name, item.type)
            kinds[item.name] = columns.common_type(known, item.type) or pa.string()
    return pa.schema(list(kinds.items()))


def conform_table(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """Return a table with the columns and types of a schema; what it lacks is null."""
    if table.schema == schema:
        return table
    arrays = [
        columns.conform(table[item.name], item.type)
        if item.name in table.column_names
        else pa.nulls(table.num_rows, item.type)
        for item in schema
    ]
    return pa.table(arrays, schema=schema)


def _typed(payload: pa.Table, plan: Plan) -> pa.Table:
    """Return a payload of strings with numbers as numbers; what the recipe calls id, text or group stays as written."""
    from tasks.ingest.readers.delimited import plain_types

    kept = {plan.id, plan.text, *plan.groups}
    arrays = {name: payload[name] if name in kept else plain_types(payload[name]) for name in payload.column_names}
    return pa.table(arrays)


def _check(batch: Batch, job: ShardJob) -> tuple[_Rows, list[tuple[int, str, Reason, str]]]:
    """Return the sound rows of a batch, and (row, id, reason, detail) of the others."""
    plan, table, rows = job.plan, batch.table, len(batch.rows)
    codes = np.zeros(rows, dtype=np.uint8)

    def column(name: str) -> pa.ChunkedArray:
        return table[name] if name in table.column_names else pa.chunked_array([pa.nulls(rows)])

    ids = _ids(column(plan.id), codes) if plan.id is not None else _made_ids(batch.rows, job.stamp.name)
    if plan.text is not None:
        texts = columns.conform(column(plan.text), pa.string())
        columns.refuse(codes, ~columns.sound_text(texts), Reason.EMPTY_TEXT)
    payload = table.drop_columns([name for name in (plan.vector, "") if name in table.column_names])
    sizes = sum((columns.row_bytes(item) for item in payload.itercolumns()), np.zeros(rows, dtype=np.int64))
    columns.refuse(codes, sizes > job.max_row_bytes, Reason.OVERSIZE_ROW)
    matrix = _matrix(batch, plan, codes)
    extra: dict[str, Any] = {}
    for name in plan.groups:
        texts = columns.conform(column(name), pa.string())
        extra[f"group.{name}"] = pc.fill_null(texts, columns.NO_GROUP)
    for name in plan.scores:
        extra[f"score.{name}"], bad = columns.as_score(column(name))
        columns.refuse(codes, bad, Reason.SCORE_NOT_A_NUMBER)
    payload = _payload(payload, plan, job.stamp)
    refusals = []
    for at in np.flatnonzero(codes):
        reason = Reason(int(codes[at]))
        refusals.append(
            (int(batch.rows[at]), ids[at].as_py() or "", reason, _detail(reason, batch, job, sizes, int(at)))
        )
    sound = codes == Reason.SOUND
    extras = pa.table(extra) if extra else pa.table({"": pa.nulls(rows)})
    if sound.all():
        return _Rows(batch.rows, ids, payload, extras, matrix), refusals
    mask = pa.array(sound)
    taken = _Rows(
        batch.rows[sound],
        ids.filter(mask),
        payload.filter(mask),
        extras.filter(mask),
        None if matrix is None else matrix[sound],
    )
    return taken, refusals


def _ids(column: pa.ChunkedArray, codes: npt.NDArray[np.uint8]) -> pa.ChunkedArray:
    ids = columns.conform(column, pa.string())
    missing = pc.fill_null(pc.equal(pc.binary_length(ids), 0), True).to_numpy(zero_copy_only=False)
    columns.refuse(codes, missing, Reason.NULL_ID)
    return ids


def _made_ids(rows: npt.NDArray[np.int64], shard: str) -> pa.ChunkedArray:
    numbers = pa.array(rows).cast(pa.string())
    return pa.chunked_array([pc.binary_join_element_wise(shard, numbers, ":")])


def _matrix(batch: Batch, plan: Plan, codes: npt.NDArray[np.uint8]) -> npt.NDArray[Any] | None:
    """Return the vectors of a batch as the pool stores them, and mark the rows whose vector is not sound."""
    if plan.vector is None or plan.dimension is None or plan.dtype is None:
        return None
    if batch.vectors is None:
        if plan.vector not in batch.table.column_names:
            columns.refuse(codes, np.ones(len(codes), dtype=np.bool_), Reason.NULL_VECTOR)
            return np.zeros((len(codes), plan.dimension), dtype=plan.dtype)
        matrix, found = to_matrix(batch.table[plan.vector], plan.dimension, plan.dtype)
    elif batch.vectors.shape[1] != plan.dimension:
        columns.refuse(codes, np.ones(len(codes), dtype=np.bool_), Reason.WRONG_DIMENSION)
        return np.zeros((len(codes), plan.dimension), dtype=plan.dtype)
    else:
        with np.errstate(over="ignore"):
            matrix = batch.vectors.astype(plan.dtype)
        found = check_matrix(matrix, np.zeros(len(matrix), dtype=np.uint8))
    np.copyto(codes, found, where=(codes == Reason.SOUND))
    return matrix


def _payload(payload: pa.Table, plan: Plan, stamp: ShardStamp) -> pa.Table:
    """Return the user's columns in the types agreed on before reading, and without Arrow's ways of storing them."""
    kinds = [(item.name, plan.types.get(item.name, columns.plain_type(item.type))) for item in payload.schema]
    if stamp.format == "parquet":
        names = {name for name, _ in kinds}
        kinds += [(name, kind) for name, kind in plan.types.items() if name not in names]
        order = {name: at for at, name in enumerate(plan.types)}
        kinds.sort(key=lambda item: order[item[0]])
    else:
        kinds = [(item.name, columns.plain_type(item.type)) for item in payload.schema]
    return conform_table(payload.replace_schema_metadata(), pa.schema(kinds))


def _detail(reason: Reason, batch: Batch, job: ShardJob, sizes: npt.NDArray[np.int64], at: int) -> str:
    plan = job.plan
    if reason is Reason.OVERSIZE_ROW:
        return f"{sizes[at]:,} bytes"
    if reason is Reason.WRONG_DIMENSION:
        if batch.vectors is not None:
            return f"{batch.vectors.shape[1]} instead of {plan.dimension}"
        value = batch.table[plan.vector][at]
        length = len(value.as_py()) if pa.types.is_nested(value.type) else value
        return f"{length} instead of {plan.dimension}"
    if reason is Reason.SCORE_NOT_A_NUMBER:
        values = {name: batch.table[name][at].as_py() for name in plan.scores if name in batch.table.column_names}
        return f"{values}"[:200]
    return ""


def _row_table(rows: _Rows, job: ShardJob) -> pa.Table:
    """Return the row table of a block, as docs/ARCHITECTURE.md describes it."""
    count = len(rows.numbers)
    if job.plan.text is not None:
        texts = columns.conform(rows.payload[job.plan.text], pa.string())
        hashes, words = columns.text_hashes(texts), columns.word_counts(texts)
    else:
        hashes, words = pa.nulls(count, pa.binary(16)), pa.nulls(count, pa.int32())
    table = {
        "row_id": rows.numbers.astype(np.uint64) | np.uint64(job.number << SHARD_BITS),
        "shard": np.full(count, job.number, dtype=np.int32),
        "row": rows.numbers,
        "id": rows.ids,
        "identity": columns.identities(rows.ids),
        "text_hash": hashes,
        "tokens": words,
    }
    extra = {name: rows.extra[name] for name in rows.extra.column_names if name}
    return pa.table({**table, **extra})
