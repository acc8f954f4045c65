"""Read one shard batch by batch and write its checked blocks and refused rows, in memory bounded by a block."""

import base64
import shutil
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from evenkeel.infra import storage
from evenkeel.infra.arrays import write_array
from evenkeel.infra.errors import InputError
from evenkeel.infra.tables import write_table
from evenkeel.tasks.ingest import columns
from evenkeel.tasks.ingest.duplicates import write_keys
from evenkeel.tasks.ingest.fingerprints import fingerprint_of
from evenkeel.tasks.ingest.plan import ShardJob
from evenkeel.tasks.ingest.pool import QUARANTINE_SCHEMA, SHARD_BITS
from evenkeel.tasks.ingest.reader import (
    Batch,
    LocalShard,
    ShardUnreadable,
    describe,
    format_of,
    read_batches,
    reader_of,
)
from evenkeel.tasks.ingest.reasons import Reason
from evenkeel.tasks.ingest.report import BlockReport, ShardReport
from evenkeel.tasks.ingest.reuse import BLOCK_FILES, reading_key, register, rules_key, take_over
from evenkeel.tasks.ingest.rows import CheckedRows, Refusal, check_rows, row_table, together, typed
from evenkeel.tasks.ingest.schemas import storable

_PART_ROWS = 1 << 18
BLOCK_BYTES = 512 << 20
# What values of a shard may make of our own code; a disk that is full or a store that is gone is not the shard's doing.
UNUSABLE = (
    ShardUnreadable,
    pa.ArrowException,
    ValueError,
    TypeError,
    ArithmeticError,
    LookupError,
    NotImplementedError,
    RecursionError,
)


def read_shard(job: ShardJob) -> ShardReport:
    """Read one shard, write its blocks and refusals, and report; a shard that was finished before is not read again.

    Raises InputError where the shard changed since the run began.
    """
    place = storage.join(job.out, "reports", f"s{job.number:06d}.json")
    try:
        return ShardReport.model_validate(storage.read_json(place))
    except FileNotFoundError:
        key = reading_key(job)
        report = take_over(job, key) or _read(job).model_copy(update={"key": key, "rules": rules_key(job)})
        storage.write_json(place, report.model_dump(mode="json"))
        register(job, report)
        return report


def _read(job: ShardJob) -> ShardReport:
    if fingerprint_of(job.shard.uri) != (job.shard.bytes, job.shard.fingerprint):
        raise InputError(
            "a shard changed while the run was reading the source",
            where=job.shard.uri,
            remedy="run again when nobody writes to the source; write new shards under new names",
        )
    folder = scratch_of(job)
    try:
        path = storage.local_copy(job.shard.uri, folder)
        digest = storage.sha256(str(path))
        if job.number in job.plan.refused:
            reason, detail, rows = job.plan.refused[job.number]
            return refused(job, digest, reason, detail, rows)
        ids = None if job.shard.ids is None else storage.local_copy(job.shard.ids, folder)
        writer = _Writer(job)
        try:
            local = LocalShard(path, job.rows_per_block, job.plan.vector, ids, job.backend)
            for batch in read_batches(job.shard.format, local):
                writer.add(batch)
            if (claimed := _claimed_rows(job, path)) not in (None, writer.rows):
                raise ShardUnreadable(f"it says that it has {claimed:,} rows, and {writer.rows:,} were read")
            return writer.finish(digest)
        except UNUSABLE as error:
            writer.discard()
            why = str(error) if isinstance(error, ShardUnreadable) else describe(error)
            return refused(job, digest, Reason.UNREADABLE_SHARD, why, _claimed_rows(job, path))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def scratch_of(job: ShardJob) -> Path:
    """Return the folder for the local copy of a shard."""
    return job.scratch / "shards" / f"{job.number:06d}"


def _claimed_rows(job: ShardJob, path: Path) -> int | None:
    """Return the row count in the footer of an unreadable shard, None where it cannot be read."""
    try:
        return reader_of(job.shard.format).count_rows(path)
    except Exception:  # as `read_batches`
        return None


def refused(job: ShardJob, digest: str, reason: Reason, detail: str, rows: int | None) -> ShardReport:
    """Report a shard none of whose rows can be used; rows it is known to have are quarantined one by one."""
    for part, begin in enumerate(range(0, rows or 0, _PART_ROWS)):
        numbers = np.arange(begin, min(begin + _PART_ROWS, rows or 0), dtype=np.int64)
        ids, details = pa.nulls(len(numbers), pa.string()).fill_null(""), [detail] * len(numbers)
        _write_quarantine(job, f"{part:06d}", numbers, ids, [reason.label] * len(numbers), details)
    return ShardReport(
        number=job.number,
        bytes=job.shard.bytes,
        sha256=digest,
        rows=rows or 0,
        reasons={reason.label: rows} if rows else {},
        reason=reason.label,
        detail=detail,
    )


def _write_quarantine(
    job: ShardJob,
    part: str,
    rows: npt.NDArray[np.int64],
    ids: pa.Array | list[str],
    reasons: list[str],
    details: list[str],
) -> None:
    row_ids = rows.astype(np.uint64) | np.uint64(job.number << SHARD_BITS)
    shards = np.full(len(rows), job.number, dtype=np.int32)
    table = pa.table([row_ids, shards, rows, ids, reasons, details], schema=QUARANTINE_SCHEMA)
    write_table(storage.join(job.out, "quarantine", f"s{job.number:06d}-{part}.parquet"), table)


@dataclass
class _Writer:
    """Collects the sound rows of a shard and writes a block whenever there are enough for one."""

    job: ShardJob
    rows: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    blocks: list[BlockReport] = field(default_factory=list)
    waiting: list[CheckedRows] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)
    parts: int = 0

    def add(self, batch: Batch) -> None:
        """Check a batch: keep the sound rows, refuse the others with a reason."""
        self.rows += len(batch.rows) + len(batch.rejects)
        self.refusals += [(row, "", Reason.UNPARSABLE_ROW, detail) for row, detail in batch.rejects]
        if len(batch.rows):
            checked, refusals = check_rows(batch, self.job)
            self.refusals += refusals
            self.waiting.append(checked)
        if self.rows_waiting and sum(part.payload.nbytes for part in self.waiting) >= BLOCK_BYTES:
            self._write_block(together(self.waiting))
            self.waiting = []
        size = self.job.rows_per_block
        while self.rows_waiting >= size:
            rows = together(self.waiting)
            self._write_block(rows.slice(0, size))
            self.waiting = [rows.slice(size, len(rows.numbers))] if len(rows.numbers) > size else []
        if len(self.refusals) >= _PART_ROWS:
            self._write_refusals()

    @property
    def rows_waiting(self) -> int:
        """Return how many sound rows are in no block yet."""
        return sum(len(part.numbers) for part in self.waiting)

    def finish(self, digest: str) -> ShardReport:
        """Write the remaining rows and return the report."""
        if self.rows_waiting:
            self._write_block(together(self.waiting))
        self._write_refusals()
        job = self.job
        return ShardReport(
            number=job.number,
            bytes=job.shard.bytes,
            sha256=digest,
            rows=self.rows,
            reasons=dict(sorted(self.reasons.items())),
            blocks=self.blocks,
            parts=self.parts,
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

    def _write_block(self, rows: CheckedRows) -> None:
        job, name = self.job, f"s{self.job.number:06d}-b{len(self.blocks):06d}"
        table = row_table(rows, job)
        payload = typed(rows.payload, job.plan) if _is_text(job) else rows.payload
        if "" in payload.column_names:
            payload = payload.drop_columns([""])
        if payload.num_columns == 0:
            payload = pa.table({"id": rows.ids})
        write_table(storage.join(job.out, "rows", f"{name}.parquet"), table)
        payload = storable(payload)
        write_table(storage.join(job.out, "payload", f"{name}.parquet"), payload)
        if rows.vectors is not None:
            write_array(storage.join(job.out, "vectors", f"{name}.npy"), rows.vectors)
        if job.plan.id is not None:
            keys = storage.join(job.out, "keys", f"{name}.bin")
            write_keys(keys, columns.id_keys(rows.ids), table["row_id"].to_numpy())
        schema = base64.b64encode(payload.schema.serialize()).decode()
        first = int(table["row_id"][0].as_py())
        self.blocks.append(BlockReport(name=name, rows=table.num_rows, first=first, schema_=schema))


def _is_text(job: ShardJob) -> bool:
    """Tell whether the values of a shard, or of the file beside it, come as text."""
    forms = (job.shard.format, None if job.shard.ids is None else format_of(job.shard.ids))
    return any(form is not None and reader_of(form).types == "text" for form in forms)


def remove_block(out: str, name: str) -> None:
    """Remove the files of a block, those that there are."""
    for part, suffix in BLOCK_FILES.items():
        storage.remove(storage.join(out, part, f"{name}.{suffix}"))
