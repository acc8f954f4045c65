"""Pack small shards: those with neighbouring numbers are read by one job and share blocks.

A pack is a span of shard numbers, so that a shard that comes, goes or changes touches the pack it is in and no other.
A span is packed once the dataset has a later shard, so that the newest shards do not change the packs before them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby

import numpy as np

from evenkeel.infra import storage
from evenkeel.infra.memory import BLOCK_BYTES
from evenkeel.infra.workspace import content_key
from evenkeel.tasks.ingest.listing import ListedShard
from evenkeel.tasks.ingest.plan import ShardJob
from evenkeel.tasks.ingest.reasons import Reason
from evenkeel.tasks.ingest.report import BlockReport, ShardReport
from evenkeel.tasks.ingest.reuse import reading_key, register, report_place, rules_key, take_over
from evenkeel.tasks.ingest.rows import CheckedRows, together
from evenkeel.tasks.ingest.schemas import kinds_of
from evenkeel.tasks.ingest.shard import UNUSABLE, SmallShard, read_alone, read_shard, read_small, refused
from evenkeel.tasks.ingest.writing import RefusedRows, block_name, remove_block, write_block

PACKED = 64  # shard numbers in a span
SMALL_BYTES = 1 << 20  # of a shard that may be packed
Pack = tuple[ShardJob, ...]


def packs_of(shards: Sequence[ListedShard]) -> list[list[ListedShard]]:
    """Return the shards in packs, in the order of their numbers; most packs of a pool of large shards hold one."""
    spans = max((shard.number + 1 for shard in shards), default=0) // PACKED

    def place(shard: ListedShard) -> tuple[int, ...]:
        span, small = shard.number // PACKED, shard.bytes < SMALL_BYTES and shard.ids is None
        return (span,) if small and span < spans else (span, shard.number)

    ordered = sorted(shards, key=lambda shard: shard.number)
    return [list(pack) for _, pack in groupby(ordered, key=lambda shard: (place(shard), shard.format))]


def read_pack(pack: Pack, died: Mapping[int, str] | None = None) -> list[ShardReport]:
    """Read the shards of a pack and report on each; a pack that was finished before is not read again.

    died: why shards are refused, by number, whose reading ended the process; the report of such a pack is not kept.
    """
    if died:
        return _read(pack, died)
    if len(pack) == 1:
        return [read_shard(pack[0])]
    out, first = pack[0].out, pack[0].number
    place = report_place(out, first, len(pack))
    try:
        return [ShardReport.model_validate(item) for item in storage.read_json(place)]
    except FileNotFoundError:
        key = content_key("pack", pack[0].version, {"shards": [reading_key(job) for job in pack]}, {})
        reports = take_over(pack, key) or [
            report.model_copy(update={"key": key, "rules": rules_key(job)})
            for report, job in zip(_read(pack, {}), pack, strict=True)
        ]
        storage.write_json(place, [report.model_dump(mode="json") for report in reports])
        register(pack, key, reports)
        return reports


def _read(pack: Pack, died: Mapping[int, str]) -> list[ShardReport]:
    writer = _PackWriter(pack[0])
    try:
        reports = [_add(writer, job, died.get(job.number)) for job in pack]
        writer.finish()
    except UNUSABLE:  # shards that each can be read and that do not go together
        writer.discard()
        return [_alone(job, died.get(job.number)) for job in pack]
    return [report.model_copy(update={"blocks": writer.blocks_of(report)}) for report in reports]


def _add(writer: "_PackWriter", job: ShardJob, death: str | None) -> ShardReport:
    found = read_small(job) if death is None else None
    if found is not None:
        return writer.add(found)
    writer.flush()
    return _alone(job, death)


def _alone(job: ShardJob, death: str | None) -> ShardReport:
    if death is None:
        return read_alone(job)
    return refused(job, storage.sha256(job.shard.uri), Reason.UNREADABLE_SHARD, death, None)


@dataclass
class _PackWriter:
    """Collects whole shards and writes a block whenever the next one would not fit."""

    job: ShardJob
    waiting: list[CheckedRows] = field(default_factory=list)
    rows: int = 0
    bytes: int = 0
    blocks: list[BlockReport] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.files = RefusedRows(self.job.out, f"s{self.job.number:06d}-p")

    def add(self, found: SmallShard) -> ShardReport:
        """Take the rows of a shard; return its report, with the files that its refused rows are in."""
        names = [self.files.add(table) for table in found.refused]
        if found.rows is not None and len(found.rows.numbers):
            rows, size = len(found.rows.numbers), found.rows.payload.nbytes
            if self.rows + rows > self.job.rows_per_block or self.bytes + size > BLOCK_BYTES:
                self.flush()
            self.waiting.append(found.rows)
            self.rows, self.bytes = self.rows + rows, self.bytes + size
        return found.report.model_copy(update={"refusals": list(dict.fromkeys(names))})

    def flush(self) -> None:
        """Write the rows that wait as a block."""
        if self.waiting:
            mixed = kinds_of([part.payload.schema for part in self.waiting])
            rows, self.waiting, self.rows, self.bytes = together(self.waiting), [], 0, 0
            shards, counts = np.unique(rows.shards, return_counts=True)
            block = write_block(self.job, block_name(int(shards[0])), rows)
            packed = list(zip(shards.tolist(), counts.tolist(), strict=True))
            self.blocks.append(block.model_copy(update={"packed": packed, "mixed": mixed}))

    def finish(self) -> None:
        """Write what waits."""
        self.flush()
        self.files.finish()

    def discard(self) -> None:
        """Remove all that was written."""
        for block in self.blocks:
            remove_block(self.job.out, block.name)
        for name in self.files.names:
            storage.remove(storage.join(self.job.out, "quarantine", name))

    def blocks_of(self, report: ShardReport) -> list[BlockReport]:
        """Return the blocks that begin with a row of a shard: those of its own, or one that it shares."""
        return report.blocks or [block for block in self.blocks if block.packed[0][0] == report.number]
