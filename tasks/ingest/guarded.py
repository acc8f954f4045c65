"""Read shards where a crash loses one shard, not the run: in processes of their own, with a second try."""

import base64
import itertools
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import cast

import pyarrow as pa
from pydantic import BaseModel

from evenkeel.infra import storage
from evenkeel.infra.compute import Backend
from evenkeel.infra.isolation import Json, ProcessDied, call_isolated
from evenkeel.tasks.ingest.listing import ListedShard
from evenkeel.tasks.ingest.opening import scratch_of
from evenkeel.tasks.ingest.packs import Pack, read_pack
from evenkeel.tasks.ingest.plan import ColumnPlan, ShardJob
from evenkeel.tasks.ingest.reader import ShardSchema
from evenkeel.tasks.ingest.reasons import Reason
from evenkeel.tasks.ingest.report import ShardReport
from evenkeel.tasks.ingest.reuse import inspect_once, schema_as_json, schema_from_json
from evenkeel.tasks.ingest.shard import read_small
from evenkeel.tasks.ingest.writing import block_name, remove_block


def inspect_guarded(registry: str, shards: Sequence[ListedShard]) -> list[ShardSchema | str]:
    """Return the schemas of shards, or why one cannot be read: also where reading it ends the process, twice."""
    asked: Json = {"registry": registry, "shards": [shard.model_dump(mode="json") for shard in shards]}
    try:
        found = cast(list[Json], call_isolated(_inspect, asked)["found"])
        return [str(one["refused"]) if "refused" in one else schema_from_json(one) for one in found]
    except ProcessDied as death:
        if len(shards) == 1:
            return [death.reason]
        return [one for shard in shards for one in inspect_guarded(registry, [shard])]


def read_guarded(pack: Pack) -> list[ShardReport]:
    """Read the shards of a pack as `read_pack` does; one that ends the process twice is refused, with the signal.

    The report on a pack with such a shard is not kept, so that a run that is started again, perhaps with more memory,
    tries again.
    """
    try:
        return _reports(pack, {})
    except ProcessDied as death:
        _remove_what_was_written(pack)
        died = {pack[0].number: death.reason} if len(pack) == 1 else _who_died(pack)
    try:
        return _reports(pack, died)
    except ProcessDied as death:  # together they take what none of them takes alone
        _remove_what_was_written(pack)
        return _reports(pack, {job.number: death.reason for job in pack})


def _reports(pack: Pack, died: Mapping[int, str]) -> list[ShardReport]:
    asked: Json = {"pack": WrittenPack.of(pack).model_dump(mode="json"), "died": [list(item) for item in died.items()]}
    return [ShardReport.model_validate(one) for one in cast(list[Json], call_isolated(_read, asked)["reports"])]


def _who_died(pack: Pack) -> dict[int, str]:
    """Read the shards of a pack one by one, without a trace; return why each failed that ended the process."""
    died = {}
    for job in pack:
        try:
            call_isolated(_try, {"pack": WrittenPack.of((job,)).model_dump(mode="json")})
        except ProcessDied as death:
            died[job.number] = death.reason
    return died


def _remove_what_was_written(pack: Pack) -> None:
    """Remove the blocks, the refused rows and the local copies of shards whose reading ended in the middle."""
    for job in pack:
        for number in itertools.count():
            block = block_name(job.number, number)
            if not storage.exists(storage.join(job.out, "rows", f"{block}.parquet")):
                break
            remove_block(job.out, block)
        for prefix in (f"s{job.number:06d}-", f"s{job.number:06d}-p"):
            for part in itertools.count():
                rows = storage.join(job.out, "quarantine", f"{prefix}{part:06d}.parquet")
                if not storage.exists(rows):
                    break
                storage.remove(rows)
        shutil.rmtree(scratch_of(job), ignore_errors=True)


def _inspect(asked: Json) -> Json:
    shards = [ListedShard.model_validate(one) for one in cast(list[Json], asked["shards"])]
    found = inspect_once(str(asked["registry"]), shards)
    return {"found": [{"refused": one} if isinstance(one, str) else schema_as_json(one) for one in found]}


def _read(asked: Json) -> Json:
    died = dict(cast(list[tuple[int, str]], asked["died"]))
    reports = read_pack(WrittenPack.model_validate(asked["pack"]).jobs(), died)
    return {"reports": [report.model_dump(mode="json") for report in reports]}


def _try(asked: Json) -> Json:
    for job in WrittenPack.model_validate(asked["pack"]).jobs():
        read_small(job)
    return {}


class WrittenPlan(BaseModel):
    """A `ColumnPlan` as JSON; types and partitions: Arrow schemas in base64. refused: by shard, why it is refused."""

    id: str | None
    text: str | None
    vector: str | None
    groups: tuple[str, ...]
    scores: tuple[str, ...]
    dimension: int | None
    dtype: str | None
    types: str
    refused: dict[int, tuple[int, str, int | None]]
    guessed: tuple[str, ...]
    partitions: str


class WrittenPack(BaseModel):
    """The `ShardJob`s of a pack as JSON: what they share, and their shards."""

    shards: list[ListedShard]
    plan: WrittenPlan
    out: str
    scratch: Path
    rows_per_block: int
    max_row_bytes: int
    backend: Backend
    version: int
    registry: str
    held: int

    @classmethod
    def of(cls, pack: Pack) -> "WrittenPack":
        """Return the jobs, to be written."""
        job, plan = pack[0], pack[0].plan.of({one.number for one in pack})
        about = {one.name: getattr(plan, one.name) for one in fields(plan)}
        types = {"types": _types_as_text(plan.types), "partitions": _types_as_text(plan.partitions)}
        written = WrittenPlan.model_validate(about | types)
        shared = {one.name: getattr(job, one.name) for one in fields(job)} | {"plan": written}
        return cls.model_validate(shared | {"shards": [one.shard for one in pack]})

    def jobs(self) -> Pack:
        """Return the jobs that were written."""
        plan = ColumnPlan(
            **self.plan.model_dump(exclude={"types", "partitions", "refused"}),
            types=_types_from_text(self.plan.types),
            partitions=_types_from_text(self.plan.partitions),
            refused={number: (Reason(why[0]), why[1], why[2]) for number, why in self.plan.refused.items()},
        )
        shared = {name: getattr(self, name) for name in type(self).model_fields if name != "shards"} | {"plan": plan}
        return tuple(ShardJob(number=shard.number, shard=shard, **shared) for shard in self.shards)


def _types_as_text(types: dict[str, pa.DataType]) -> str:
    return base64.b64encode(pa.schema(list(types.items())).serialize()).decode()


def _types_from_text(text: str) -> dict[str, pa.DataType]:
    schema = pa.ipc.read_schema(pa.BufferReader(base64.b64decode(text)))
    return {item.name: item.type for item in schema}
