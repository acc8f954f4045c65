"""Read shards where a crash loses one shard, not the run: in processes of their own, with a second try."""

import base64
import itertools
import shutil
from dataclasses import fields
from pathlib import Path

import pyarrow as pa
from pydantic import BaseModel

from evenkeel.infra import storage
from evenkeel.infra.compute import Backend
from evenkeel.infra.isolation import Json, ProcessDied, call_isolated
from evenkeel.tasks.ingest.listing import ListedShard
from evenkeel.tasks.ingest.plan import ColumnPlan, ShardJob
from evenkeel.tasks.ingest.reader import ShardSchema
from evenkeel.tasks.ingest.reasons import Reason
from evenkeel.tasks.ingest.report import ShardReport
from evenkeel.tasks.ingest.reuse import inspect_once, schema_as_json, schema_from_json
from evenkeel.tasks.ingest.shard import read_shard, refused, remove_block, scratch_of


def inspect_guarded(registry: str, shard: ListedShard) -> ShardSchema | str:
    """Return the schema of a shard, or why it cannot be read: also where reading it ends the process, twice."""
    try:
        found = call_isolated(_inspect, {"registry": registry, "shard": shard.model_dump(mode="json")})
        return str(found["refused"]) if "refused" in found else schema_from_json(found)
    except ProcessDied as death:
        return death.reason


def read_guarded(job: ShardJob) -> ShardReport:
    """Read one shard as `read_shard` does; one that ends the process twice is refused, with the signal as reason.

    That report is not kept, so that a run that is started again, perhaps with more memory, tries again.
    """
    try:
        return ShardReport.model_validate(call_isolated(_read, WrittenJob.of(job).model_dump(mode="json")))
    except ProcessDied as death:
        _remove_what_was_written(job)
        return refused(job, storage.sha256(job.shard.uri), Reason.UNREADABLE_SHARD, death.reason, None)


def _remove_what_was_written(job: ShardJob) -> None:
    """Remove the blocks, the refused rows and the local copy of a shard whose reading ended in the middle."""
    for number in itertools.count():
        block = f"s{job.number:06d}-b{number:06d}"
        if not storage.exists(storage.join(job.out, "rows", f"{block}.parquet")):
            break
        remove_block(job.out, block)
    for part in itertools.count():
        rows = storage.join(job.out, "quarantine", f"s{job.number:06d}-{part:06d}.parquet")
        if not storage.exists(rows):
            break
        storage.remove(rows)
    shutil.rmtree(scratch_of(job), ignore_errors=True)


def _inspect(asked: Json) -> Json:
    found = inspect_once(str(asked["registry"]), ListedShard.model_validate(asked["shard"]))
    return {"refused": found} if isinstance(found, str) else schema_as_json(found)


def _read(asked: Json) -> Json:
    return read_shard(WrittenJob.model_validate(asked).job()).model_dump(mode="json")


class WrittenPlan(BaseModel):
    """A `ColumnPlan` as JSON; types: an Arrow schema in base64. refused: why this shard is refused."""

    id: str | None
    text: str | None
    vector: str | None
    groups: tuple[str, ...]
    scores: tuple[str, ...]
    dimension: int | None
    dtype: str | None
    types: str
    refused: tuple[int, str, int | None] | None
    guessed: tuple[str, ...]


class WrittenJob(BaseModel):
    """A `ShardJob` as JSON."""

    number: int
    shard: ListedShard
    plan: WrittenPlan
    out: str
    scratch: Path
    rows_per_block: int
    max_row_bytes: int
    backend: Backend
    version: int
    registry: str

    @classmethod
    def of(cls, job: ShardJob) -> "WrittenJob":
        """Return the job, to be written."""
        plan, refusal = job.plan, job.plan.refused.get(job.number)
        types = base64.b64encode(pa.schema(list(plan.types.items())).serialize()).decode()
        about = {one.name: getattr(plan, one.name) for one in fields(plan)}
        written = WrittenPlan.model_validate(about | {"types": types, "refused": refusal})
        return cls.model_validate({one.name: getattr(job, one.name) for one in fields(job)} | {"plan": written})

    def job(self) -> ShardJob:
        """Return the job that was written."""
        schema = pa.ipc.read_schema(pa.BufferReader(base64.b64decode(self.plan.types)))
        refusal = self.plan.refused
        plan = ColumnPlan(
            **self.plan.model_dump(exclude={"types", "refused"}),
            types={item.name: item.type for item in schema},
            refused={} if refusal is None else {self.number: (Reason(refusal[0]), refusal[1], refusal[2])},
        )
        return ShardJob(**{name: getattr(self, name) for name in type(self).model_fields} | {"plan": plan})
