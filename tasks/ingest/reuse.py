"""Reuse what earlier runs have read: the blocks of a shard that has not changed are taken over, file by file.

What reading a shard writes depends on the shard, its number and the meaning of its columns, all hashed into one key.
`<workspace>/<dataset>/shards/` records under that key which pool holds the shard. Its files are linked or copied and
are what reading would write, so losing this registry costs time and nothing else.
"""

import base64
from collections.abc import Sequence
from dataclasses import asdict

import pyarrow as pa

from evenkeel.infra import storage
from evenkeel.infra.workspace import content_key
from evenkeel.tasks.ingest.listing import ListedShard
from evenkeel.tasks.ingest.plan import ShardJob, inspect_shard
from evenkeel.tasks.ingest.reader import READERS, ShardSchema
from evenkeel.tasks.ingest.report import ShardReport

BLOCK_FILES = {"rows": "parquet", "payload": "parquet", "vectors": "npy", "keys": "bin", "written": "parquet"}
INSPECTION = 5  # raise it when `inspect_shard` returns something else for the same shard


def rules_key(job: ShardJob) -> str:
    """Return a hash over everything that determines which rows of a shard enter the pool, their texts and vectors."""
    plan = job.plan
    rules = {
        "number": job.number,
        "columns": [plan.id, plan.text, plan.vector, plan.dimension, plan.dtype, plan.scores],
        "limits": [job.rows_per_block, job.max_row_bytes],
        "ids": job.shard.ids_fingerprint,
        "partition": job.shard.partition,
        "name": job.shard.name if plan.id is None else "",
    }
    return content_key("rules", job.version, rules, {})


def reading_key(job: ShardJob) -> str:
    """Return a hash over everything that determines what reading a shard writes."""
    reading = {
        "shard": job.shard.model_dump(mode="json"),
        "rules": rules_key(job),
        "groups": job.plan.groups,
        "kept_vector": job.plan.kept_vector,
        "partitions": {name: str(kind) for name, kind in job.plan.partitions.items()},
        "types": {name: str(kind) for name, kind in job.plan.types.items()},
        "order": list(job.plan.types),
        "refused": str(job.plan.refused.get(job.number, "")),
        "backend": job.backend,
    }
    return content_key("shard", job.version, reading, _package(job.shard))


def _package(shard: ListedShard) -> dict[str, str]:
    """Return the installed package that reads a shard, where it is not us."""
    plugin = READERS.plugin(shard.format)
    return {} if plugin is None else {"reader": str(plugin)}


def report_place(out: str, first: int, shards: int = 1) -> str:
    """Return the URI of the report on a shard, or on several that are read together, given the first."""
    return storage.join(out, "reports", f"s{first:06d}.json" if shards == 1 else f"s{first:06d}-pack.json")


def register(jobs: Sequence[ShardJob], key: str, reports: Sequence[ShardReport]) -> None:
    """Record which pool holds shards that are read together.

    Not where one could not be read or its store gives no fingerprint.
    """
    first = jobs[0]
    if first.registry and all(job.shard.fingerprint for job in jobs) and not any(one.reason for one in reports):
        storage.write_json(storage.join(first.registry, f"{key}.json"), first.out)


def take_over(jobs: Sequence[ShardJob], key: str) -> list[ShardReport]:
    """Link the files of shards from the pool that read them, and return the reports; none where no pool has them."""
    first = jobs[0]
    if not first.registry:
        return []
    try:
        earlier = storage.read_json(storage.join(first.registry, f"{key}.json"))
        found = storage.read_json(report_place(earlier, first.number, len(jobs)))
        reports = [ShardReport.model_validate(one) for one in (found if isinstance(found, list) else [found])]
        if any(report.key != key for report in reports) or earlier == first.out:
            return []
        for block in (block for report in reports for block in report.blocks):
            there = {"vectors": first.plan.vector, "keys": first.plan.id, "written": block.written}
            for part, suffix in BLOCK_FILES.items():
                if there.get(part, True):
                    _take_file(earlier, first.out, part, f"{block.name}.{suffix}")
        for name in dict.fromkeys(name for report in reports for name in report.refusals):
            place = storage.join("quarantine", name)
            storage.share(storage.join(earlier, place), storage.join(first.out, place))
    except FileNotFoundError:
        return []
    return [report.model_copy(update={"taken": True}) for report in reports]


def _take_file(earlier: str, out: str, part: str, name: str) -> None:
    target = storage.join(out, part, name)
    try:
        storage.share(storage.join(earlier, "originals", part, name), target)
    except FileNotFoundError:
        storage.share(storage.join(earlier, part, name), target)


def keep_original(out: str, part: str, block: str) -> None:
    """Keep a file of a block as it was read before it is replaced by another."""
    name = storage.join(part, f"{block}.{BLOCK_FILES[part]}")
    original = storage.join(out, "originals", name)
    if not storage.exists(original) and storage.exists(storage.join(out, name)):
        storage.share(storage.join(out, name), original)


def inspect_once(registry: str, shards: Sequence[ListedShard]) -> list[ShardSchema | str]:
    """Return the schemas of shards that are read together, or why one cannot be read.

    From the registry where an earlier run inspected them.
    """
    about = [shard.model_dump(mode="json", exclude={"name", "number"}) for shard in shards]
    key = content_key("schema", INSPECTION, {"shards": about}, _package(shards[0]))
    place = storage.join(registry, "schemas", f"{key}.json")
    try:
        return [schema_from_json(written) for written in storage.read_json(place)]
    except FileNotFoundError:
        found = [inspect_shard(shard) for shard in shards]
        known = [schema_as_json(one) for one in found if not isinstance(one, str)]
        if len(known) == len(shards) and all(shard.fingerprint for shard in shards):
            storage.write_json(place, known)
        return found


def schema_as_json(found: ShardSchema) -> dict[str, object]:
    """Return an inspected schema as JSON."""
    return {**asdict(found), "schema": base64.b64encode(found.schema.serialize()).decode()}


def schema_from_json(written: dict[str, object]) -> ShardSchema:
    """Return the schema that `schema_as_json` wrote."""
    schema = pa.ipc.read_schema(pa.BufferReader(base64.b64decode(str(written["schema"]))))
    lengths = written["lengths"]
    assert isinstance(lengths, dict)
    counted = {name: {int(length): times for length, times in counts.items()} for name, counts in lengths.items()}
    rows = written["rows"]
    return ShardSchema(schema, rows if isinstance(rows, int) else None, counted, bool(written["sample"]))
