"""Read one shard batch by batch and write its checked blocks and refused rows, in memory bounded by a block."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from evenkeel.infra import storage
from evenkeel.infra.memory import BLOCK_BYTES
from evenkeel.tasks.ingest.opening import opened
from evenkeel.tasks.ingest.partitions import with_columns
from evenkeel.tasks.ingest.plan import ShardJob
from evenkeel.tasks.ingest.reader import Batch, LocalShard, ShardUnreadable, describe, read_batches, reader_of
from evenkeel.tasks.ingest.reasons import Reason
from evenkeel.tasks.ingest.report import BlockReport, ShardReport
from evenkeel.tasks.ingest.reuse import reading_key, register, report_place, rules_key, take_over
from evenkeel.tasks.ingest.rows import CheckedRows, Refusal, check_rows, together
from evenkeel.tasks.ingest.writing import (
    PART_ROWS,
    RefusedRows,
    block_name,
    quarantined,
    refused_rows,
    remove_block,
    write_block,
)

_ROWS_PER_BYTE = 64  # a damaged header or footer that says more is not believed
# What values of a shard may make of our own code; a disk that is full or a store that is gone is not the shard's doing.
UNUSABLE = (
    ShardUnreadable,
    pa.ArrowException,
    ValueError,
    TypeError,
    ArithmeticError,
    LookupError,
    AttributeError,
    NotImplementedError,
    RecursionError,
)


class SmallShard(NamedTuple):
    """A shard that was read whole: the report without blocks, its sound rows and its refused ones, if there are any."""

    report: ShardReport
    rows: CheckedRows | None
    refused: list[pa.Table]


def read_shard(job: ShardJob) -> ShardReport:
    """Read one shard, write its blocks and refusals, and report; a shard that was finished before is not read again.

    Raises InputError where the shard changed since the run began.
    """
    place = report_place(job.out, job.number)
    try:
        return ShardReport.model_validate(storage.read_json(place))
    except FileNotFoundError:
        key = reading_key(job)
        taken = take_over([job], key)
        report = taken[0] if taken else read_alone(job).model_copy(update={"key": key, "rules": rules_key(job)})
        storage.write_json(place, report.model_dump(mode="json"))
        register([job], key, [report])
        return report


def read_alone(job: ShardJob) -> ShardReport:
    """Read one shard and write blocks of its own."""
    with opened(job) as shard:
        writer = _Writer(job)
        try:
            if job.number in job.plan.refused:
                return refused(job, shard.digest, *job.plan.refused[job.number])
            for batch in _batches(job, shard.local):
                writer.add(batch)
            _require_all(job, shard.local, writer.rows)
            return writer.finish(shard.digest)
        except UNUSABLE as error:
            writer.discard()
            return refused(job, shard.digest, *_why(job, shard.local, error))


def read_small(job: ShardJob) -> SmallShard | None:
    """Read one shard whole and write nothing; None where it holds more than a block may."""
    with opened(job) as shard:
        try:
            if job.number in job.plan.refused:
                return _refused_whole(job, shard.digest, *job.plan.refused[job.number])
            rows, parts, refusals = 0, list[CheckedRows](), list[Refusal]()
            for batch in _batches(job, shard.local):
                rows += len(batch.rows) + len(batch.rejects)
                _check(job, batch, parts, refusals)
                if rows > job.rows_per_block or sum(part.payload.nbytes for part in parts) > BLOCK_BYTES:
                    return None
            _require_all(job, shard.local, rows)
        except UNUSABLE as error:
            return _refused_whole(job, shard.digest, *_why(job, shard.local, error))
    reasons = Counter(reason.label for _, _, reason, _ in refusals)
    report = _report(job, shard.digest, rows, reasons)
    sound = together(parts) if parts else None
    return SmallShard(report, sound, [refused_rows(job.number, refusals)] if refusals else [])


def _batches(job: ShardJob, local: LocalShard) -> Iterator[Batch]:
    """Yield the batches of a shard, with the columns that its path gives."""
    for batch in read_batches(job.shard.format, local):
        table = with_columns(batch.table, len(batch.rows), job.shard.partition, job.plan.partitions)
        yield replace(batch, table=table)


def refused(job: ShardJob, digest: str, reason: Reason, detail: str, rows: int | None) -> ShardReport:
    """Report a shard none of whose rows can be used; rows it is known to have are quarantined one by one."""
    found = _refused_whole(job, digest, reason, detail, rows)
    files = RefusedRows(job.out, f"s{job.number:06d}-")
    names = [files.add(table) for table in found.refused]
    files.finish()
    return found.report.model_copy(update={"refusals": list(dict.fromkeys(names))})


def _refused_whole(job: ShardJob, digest: str, reason: Reason, detail: str, rows: int | None) -> SmallShard:
    tables = []
    if rows is not None and not 0 <= rows <= job.shard.bytes * _ROWS_PER_BYTE:
        rows = None
    for begin in range(0, rows or 0, PART_ROWS):
        numbers = np.arange(begin, min(begin + PART_ROWS, rows or 0), dtype=np.int64)
        ids, details = pa.nulls(len(numbers), pa.string()).fill_null(""), [detail] * len(numbers)
        tables.append(quarantined(job.number, numbers, ids, [reason.label] * len(numbers), details))
    report = _report(job, digest, rows or 0, Counter({reason.label: rows} if rows else {}))
    return SmallShard(report.model_copy(update={"reason": reason.label, "detail": detail}), None, tables)


def _report(job: ShardJob, digest: str, rows: int, reasons: Counter[str]) -> ShardReport:
    return ShardReport(
        number=job.number, bytes=job.shard.bytes, sha256=digest, rows=rows, reasons=dict(sorted(reasons.items()))
    )


def _why(job: ShardJob, local: LocalShard, error: Exception) -> tuple[Reason, str, int | None]:
    """Return why none of the rows of a shard can be used, and how many it says that it has."""
    detail = str(error) if isinstance(error, ShardUnreadable) else describe(error)
    return Reason.UNREADABLE_SHARD, detail, _claimed_rows(job, local)


def _require_all(job: ShardJob, local: LocalShard, rows: int) -> None:
    """Raise ShardUnreadable where a shard says that it has another number of rows than were read."""
    if (claimed := _claimed_rows(job, local)) not in (None, rows):
        raise ShardUnreadable(f"it says that it has {claimed:,} rows, and {rows:,} were read")


def _claimed_rows(job: ShardJob, local: LocalShard) -> int | None:
    """Return the row count in the footer of a shard, None where it cannot be read."""
    try:
        return reader_of(job.shard.format).count_rows(local)
    except Exception:  # as `read_batches`
        return None


def _check(job: ShardJob, batch: Batch, sound: list[CheckedRows], refusals: list[Refusal]) -> None:
    """Add the sound and the refused rows of a batch to those before."""
    refusals += [(row, "", Reason.UNPARSABLE_ROW, detail) for row, detail in batch.rejects]
    if len(batch.rows):
        checked, bad = check_rows(batch, job)
        sound.append(checked)
        refusals += bad


@dataclass
class _Writer:
    """Collects the sound rows of a shard and writes a block whenever there are enough for one."""

    job: ShardJob
    rows: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    blocks: list[BlockReport] = field(default_factory=list)
    waiting: list[CheckedRows] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.files = RefusedRows(self.job.out, f"s{self.job.number:06d}-")

    def add(self, batch: Batch) -> None:
        """Check a batch: keep the sound rows, refuse the others with a reason."""
        self.rows += len(batch.rows) + len(batch.rejects)
        _check(self.job, batch, self.waiting, self.refusals)
        if self.rows_waiting and sum(part.payload.nbytes for part in self.waiting) >= BLOCK_BYTES:
            self._write_block(together(self.waiting))
            self.waiting = []
        size = self.job.rows_per_block
        while self.rows_waiting >= size:
            rows = together(self.waiting)
            self._write_block(rows.slice(0, size))
            self.waiting = [rows.slice(size, len(rows.numbers))] if len(rows.numbers) > size else []
        if len(self.refusals) >= PART_ROWS:
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
        found = {"blocks": self.blocks, "refusals": self.files.names}
        return _report(self.job, digest, self.rows, self.reasons).model_copy(update=found)

    def discard(self) -> None:
        """Remove all that was written of a shard that turned out to be unreadable."""
        for number in range(len(self.blocks) + 1):  # the last may have been written in part
            remove_block(self.job.out, block_name(self.job.number, number))
        for name in self.files.names:
            storage.remove(storage.join(self.job.out, "quarantine", name))

    def _write_refusals(self) -> None:
        if self.refusals:
            self.reasons.update(reason.label for _, _, reason, _ in self.refusals)
            self.files.add(refused_rows(self.job.number, self.refusals))
            self.files.finish()
            self.refusals = []

    def _write_block(self, rows: CheckedRows) -> None:
        self.blocks.append(write_block(self.job, block_name(self.job.number, len(self.blocks)), rows))
