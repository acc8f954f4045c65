"""Reading only what is new: a shard that an earlier run has read is taken from there, file by file.

What reading a shard writes depends on the shard, its number and the meaning of its columns, all hashed into one key.
`<workspace>/<dataset>/shards/` says under that key which pool holds it. Taking it over is a link, never a guess: what
comes out is what reading would give, so a registry that is lost costs time and nothing else.
"""

import base64
from dataclasses import asdict

import pyarrow as pa

from evenkeel.infra import storage
from evenkeel.infra.workspace import content_key
from evenkeel.tasks.ingest.config import ShardStamp
from evenkeel.tasks.ingest.plan import ShardJob, look
from evenkeel.tasks.ingest.readers import Look
from evenkeel.tasks.ingest.report import ShardReport

BLOCK_FILES = {"rows": "parquet", "payload": "parquet", "vectors": "npy", "keys": "bin"}
LOOKING = 1  # raise it when a first look tells something else


def rules_key(job: ShardJob) -> str:
    """Return the hash of all that decides which rows of a shard are in the pool, and their texts and vectors."""
    plan = job.plan
    rules = {
        "number": job.number,
        "columns": [plan.id, plan.text, plan.vector, plan.dimension, plan.dtype, plan.scores],
        "limits": [job.rows_per_block, job.max_row_bytes],
        "ids": job.stamp.ids_stamp,
        "name": job.stamp.name if plan.id is None else "",
    }
    return content_key("rules", job.version, rules, {})


def reading_key(job: ShardJob) -> str:
    """Return the hash of all that decides what reading a shard writes."""
    reading = {
        "stamp": job.stamp.model_dump(mode="json"),
        "rules": rules_key(job),
        "groups": job.plan.groups,
        "types": {name: str(kind) for name, kind in job.plan.types.items()},
        "order": list(job.plan.types),
        "refused": str(job.plan.refused.get(job.number, "")),
        "backend": job.backend,
    }
    return content_key("shard", job.version, reading, {})


def register(job: ShardJob, report: ShardReport) -> None:
    """Write down where a shard that could be read lies; one whose store knows no stamp may change unseen."""
    if job.registry and job.stamp.stamp and not report.reason:
        storage.write_json(storage.join(job.registry, f"{report.key}.json"), job.out)


def take_over(job: ShardJob, key: str) -> ShardReport | None:
    """Take a shard from the pool that read it, as it was read; None where no pool has it (any more)."""
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


def look_once(registry: str, shard: ShardStamp) -> Look | str:
    """Return what a first look at a shard tells, as it was written down where an earlier run has looked."""
    about = shard.model_dump(mode="json", exclude={"name", "number"})
    place = storage.join(registry, "looks", f"{content_key('look', LOOKING, about, {})}.json")
    try:
        return _read_look(storage.read_json(place))
    except FileNotFoundError:
        found = look(shard)
        if shard.stamp and not isinstance(found, str):
            storage.write_json(place, _written_look(found))
        return found


def _written_look(found: Look) -> dict[str, object]:
    return {**asdict(found), "schema": base64.b64encode(found.schema.serialize()).decode()}


def _read_look(written: dict[str, object]) -> Look:
    schema = pa.ipc.read_schema(pa.BufferReader(base64.b64decode(str(written["schema"]))))
    lengths = written["lengths"]
    assert isinstance(lengths, dict)
    counted = {name: {int(length): times for length, times in counts.items()} for name, counts in lengths.items()}
    rows = written["rows"]
    return Look(schema, rows if isinstance(rows, int) else None, counted, bool(written["sample"]))
