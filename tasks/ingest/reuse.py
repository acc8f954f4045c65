"""Reuse what earlier runs have read: the blocks of a shard that has not changed are taken over, file by file.

What reading a shard writes depends on the shard, its number and the meaning of its columns, all hashed into one key.
`<workspace>/<dataset>/shards/` records under that key which pool holds the shard. Its files are linked or copied and
are what reading would write, so losing this registry costs time and nothing else.
"""

import base64
from dataclasses import asdict

import pyarrow as pa

from evenkeel.infra import storage
from evenkeel.infra.workspace import content_key
from evenkeel.tasks.ingest.listing import ListedShard
from evenkeel.tasks.ingest.plan import ShardJob, inspect_shard
from evenkeel.tasks.ingest.reader import READERS, ShardSchema
from evenkeel.tasks.ingest.report import ShardReport

BLOCK_FILES = {"rows": "parquet", "payload": "parquet", "vectors": "npy", "keys": "bin"}
INSPECTION = 2  # raise it when `inspect_shard` returns something else for the same shard


def rules_key(job: ShardJob) -> str:
    """Return a hash over everything that determines which rows of a shard enter the pool, their texts and vectors."""
    plan = job.plan
    rules = {
        "number": job.number,
        "columns": [plan.id, plan.text, plan.vector, plan.dimension, plan.dtype, plan.scores],
        "limits": [job.rows_per_block, job.max_row_bytes],
        "ids": job.shard.ids_fingerprint,
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


def register(job: ShardJob, report: ShardReport) -> None:
    """Record which pool holds a shard, unless it could not be read or its store gives no fingerprint."""
    if job.registry and job.shard.fingerprint and not report.reason:
        storage.write_json(storage.join(job.registry, f"{report.key}.json"), job.out)


def take_over(job: ShardJob, key: str) -> ShardReport | None:
    """Link the files of a shard from the pool that read it, and return its report; None where no pool has it."""
    if not job.registry:
        return None
    try:
        earlier = storage.read_json(storage.join(job.registry, f"{key}.json"))
        report = ShardReport.model_validate(
            storage.read_json(storage.join(earlier, "reports", f"s{job.number:06d}.json"))
        )
        if report.key != key or earlier == job.out:
            return None
        for block in report.blocks:
            for part, suffix in BLOCK_FILES.items():
                if (part != "vectors" or job.plan.vector) and (part != "keys" or job.plan.id):
                    _take_file(earlier, job.out, part, f"{block.name}.{suffix}")
        for at in range(report.parts):
            name = storage.join("quarantine", f"s{job.number:06d}-{at:06d}.parquet")
            storage.share(storage.join(earlier, name), storage.join(job.out, name))
    except FileNotFoundError:
        return None
    return report.model_copy(update={"taken": True})


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


def inspect_once(registry: str, shard: ListedShard) -> ShardSchema | str:
    """Return the schema of a shard, or why it cannot be read: from the registry where an earlier run inspected it."""
    about = shard.model_dump(mode="json", exclude={"name", "number"})
    place = storage.join(registry, "schemas", f"{content_key('schema', INSPECTION, about, _package(shard))}.json")
    try:
        return schema_from_json(storage.read_json(place))
    except FileNotFoundError:
        found = inspect_shard(shard)
        if shard.fingerprint and not isinstance(found, str):
            storage.write_json(place, schema_as_json(found))
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
