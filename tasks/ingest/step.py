"""The ingest step: infer the schema of every shard, read them in parallel, remove duplicate ids, count every row."""

import base64
import hashlib
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np
import pyarrow as pa

from evenkeel.infra import storage
from evenkeel.infra.errors import AccountingError
from evenkeel.infra.tables import read_table, write_table
from evenkeel.infra.workspace import StepFolder
from evenkeel.tasks.ingest.config import IngestRequest
from evenkeel.tasks.ingest.duplicates import Duplicate, drop_duplicates, find_duplicates
from evenkeel.tasks.ingest.fingerprints import shard_fingerprint
from evenkeel.tasks.ingest.guarded import inspect_guarded, read_guarded
from evenkeel.tasks.ingest.limit import enough_room_for_errors, nothing_left
from evenkeel.tasks.ingest.listing import ListedShard
from evenkeel.tasks.ingest.plan import ColumnPlan, ShardJob, plan_columns
from evenkeel.tasks.ingest.pool import Block, PoolInfo, Shard
from evenkeel.tasks.ingest.reader import Harvester, reader_of
from evenkeel.tasks.ingest.reasons import Reason
from evenkeel.tasks.ingest.report import BlockReport, ShardReport
from evenkeel.tasks.ingest.reuse import inspect_once, keep_original
from evenkeel.tasks.ingest.schemas import common_schema, conform_table, lossy_columns, unfit_columns, with_texts
from evenkeel.tasks.ingest.shard import read_shard
from evenkeel.tasks.inputs import NoInputs
from evenkeel.tasks.step import Outcome, Run, Step
from evenkeel.tasks.workload import Workload

_INSPECTED_BYTES = 1 << 20
_BLOCK_BYTES = 32 << 20


def ingest(request: IngestRequest, inputs: NoInputs, out: StepFolder, run: Run) -> Outcome:
    """Read a source into a pool.

    Raises InputError where a column is missing everywhere or no row is left, QuarantineLimitError where more is refused
    than the recipe allows.
    """
    shards, harvest = _real_shards(request, run)
    begin = 0.5 if harvest else 0.0
    run.progress(begin, f"inspecting {len(shards):,} shards")
    registry = storage.join(run.workspace, run.dataset, "shards")
    inspect, read = (inspect_guarded, read_guarded) if run.compute.isolated else (inspect_once, read_shard)
    schemas = run.compute.map(partial(inspect, registry), shards, work=_INSPECTED_BYTES * len(shards))
    plan = plan_columns(request.source, shards, schemas)
    if plan.about_guess:
        run.progress(begin, plan.about_guess)
    jobs = [
        ShardJob(
            number=shard.number,
            shard=shard,
            plan=plan,
            out=out.uri,
            scratch=run.scratch / "ingest" / out.key,
            rows_per_block=request.source.rows_per_block,
            max_row_bytes=request.source.max_row_bytes,
            backend=run.compute.backend,
            version=INGEST.version,
            registry=registry,
        )
        for shard in shards
    ]
    reports = run.compute.map(
        read,
        jobs,
        work=sum(shard.bytes for shard in shards),
        on_done=_counter(run, len(jobs), begin, 0.9, "shards read"),
    )
    storage.write_json(out.path("shards.json"), [item.model_dump() for item in _shards(shards, reports, {})])
    enough_room_for_errors(request, shards, reports, out, plan)
    blocks = [block for report in reports for block in report.blocks]
    again = _take_out_duplicates(blocks, shards, plan, out, run)
    gone = {name: len(duplicate.rows) for name, duplicate in again.items()}
    payload, mixed = _same_columns(blocks, out, run)
    left = [
        Block(name=block.name, shard=report.number, rows=rows, content=_content(report, block, again.get(block.name)))
        for report in reports
        for block in report.blocks
        if (rows := block.rows - gone.get(block.name, 0))
    ]
    enough_room_for_errors(request, shards, reports, out, plan, sum(gone.values()))
    info = _info(plan, reports, left, gone, payload, mixed)
    storage.write_json(out.path("shards.json"), [item.model_dump() for item in _shards(shards, reports, gone)])
    if not left:
        raise nothing_left(request, shards, reports, out, info.reasons)
    storage.write_json(out.path("blocks.json"), [block.model_dump() for block in left])
    storage.write_json(out.path("pool.json"), info.model_dump())
    refused = sum(bool(report.reason) for report in reports)
    notes = [f"{refused:,} shards refused"] * bool(refused) + [plan.about_guess] * bool(plan.about_guess)
    run.progress(1.0, "; ".join([f"{info.rows:,} rows in the pool, {info.quarantined:,} in quarantine", *notes]))
    return _outcome(info, plan, shards, reports, left, harvest)


def cost(request: IngestRequest, work: Workload) -> float:
    """Return the CPU-seconds of reading a pool."""
    megabytes = work.rows * work.payload_bytes / 1e6
    return 0.04 + 3e-6 * work.rows + 0.02 * megabytes + 4e-8 * work.rows * work.source_dimension


INGEST = Step(name="ingest", version=3, function=ingest, retries=2, cost=cost)


def _real_shards(request: IngestRequest, run: Run) -> tuple[list[ListedShard], dict[str, int]]:
    """Return the shards to read, and, where their reader had to write them first, the counts of that."""
    reader = reader_of(request.shards[0].format) if request.shards else None
    return reader.write_shards(request.shards, run) if isinstance(reader, Harvester) else (request.shards, {})


def _counter(run: Run, total: int, begin: float, end: float, what: str) -> Callable[[int], None]:
    return lambda done: run.progress(begin + (end - begin) * done / max(total, 1), f"{done:,} of {total:,} {what}")


def _take_out_duplicates(
    blocks: Sequence[BlockReport], shards: Sequence[ListedShard], plan: ColumnPlan, out: StepFolder, run: Run
) -> dict[str, Duplicate]:
    """Move rows with a duplicate id to the quarantine; return them by block."""
    if plan.id is None or not blocks:
        return {}
    run.progress(0.9, "looking for duplicate ids")
    firsts = np.array([block.first for block in blocks], dtype=np.uint64)
    rows = sum(block.rows for block in blocks)
    found = find_duplicates(out.path("keys"), [block.name for block in blocks], firsts, rows, run.compute)
    drop = partial(drop_duplicates, out.uri, {shard.number: shard.name for shard in shards})
    run.compute.map(drop, found, work=_BLOCK_BYTES * len(found))
    return {duplicate.block: duplicate for duplicate in found}


def _content(report: ShardReport, block: BlockReport, again: Duplicate | None) -> str:
    """Return a hash of the rows of a block: of the shard's content, the rules of reading and the duplicates removed."""
    digest = hashlib.sha256(json.dumps([report.rules, report.sha256, block.name]).encode())
    if again is not None:
        digest.update(again.rows.astype("<u8").tobytes())
    return digest.hexdigest()[:20]


def _same_columns(blocks: Sequence[BlockReport], out: StepFolder, run: Run) -> tuple[pa.Schema, dict[str, str]]:
    """Give every block's payload the same columns and types; return them, and the columns that had several types."""
    schemas = [pa.ipc.read_schema(pa.BufferReader(base64.b64decode(block.schema_))) for block in blocks]
    unlike = list(dict.fromkeys(schemas))
    schema = common_schema(unlike)
    schema = with_texts(schema, {item.name for item in schema if pa.types.is_null(item.type)})
    lossy = [block.name for block, one in zip(blocks, schemas, strict=True) if lossy_columns(one, schema)]
    found = run.compute.map(partial(_unfit, out.uri, schema), lossy, work=_BLOCK_BYTES * len(lossy))
    schema = with_texts(schema, {name for names in found for name in names})
    mixed = {}
    for item in schema:
        kinds = dict.fromkeys(str(one.field(item.name).type) for one in unlike if item.name in one.names)
        kinds.pop("null", None)
        if len(kinds) > 1:
            mixed[item.name] = f"{', '.join(kinds)} -> {item.type}"
    unequal = [block.name for block, one in zip(blocks, schemas, strict=True) if one != schema]
    run.compute.map(partial(_conform_block, out.uri, schema), unequal, work=_BLOCK_BYTES * len(unequal))
    return schema, mixed


def _unfit(out: str, schema: pa.Schema, name: str) -> list[str]:
    """Return the columns of a block, as it was read, that have a value which the type in `schema` does not hold."""
    original = storage.join(out, "originals", "payload", f"{name}.parquet")
    return unfit_columns(read_table(original if storage.exists(original) else _payload(out, name)), schema)


def _payload(out: str, name: str) -> str:
    return storage.join(out, "payload", f"{name}.parquet")


def _conform_block(out: str, schema: pa.Schema, name: str) -> None:
    uri = _payload(out, name)
    keep_original(out, "payload", name)
    write_table(uri, conform_table(read_table(uri), schema))


def _info(
    plan: ColumnPlan,
    reports: Sequence[ShardReport],
    blocks: Sequence[Block],
    gone: Mapping[str, int],
    payload: pa.Schema,
    mixed: dict[str, str],
) -> PoolInfo:
    """Return the description of the pool. Raises AccountingError where a row is lost."""
    reasons: Counter[str] = Counter()
    for report in reports:
        reasons.update(report.reasons)
    if gone:
        reasons[Reason.DUPLICATE_ID.label] += sum(gone.values())
    read, rows, quarantined = (
        sum(report.rows for report in reports),
        sum(block.rows for block in blocks),
        reasons.total(),
    )
    if read != rows + quarantined:
        raise AccountingError(
            "rows were lost in ingest", expected=f"{read:,} read", found=f"{rows:,} + {quarantined:,}"
        )
    return PoolInfo(
        read=read,
        rows=rows,
        quarantined=quarantined,
        id=plan.id,
        text=plan.text,
        vector=plan.vector,
        dimension=plan.dimension,
        dtype=plan.dtype,
        groups=list(plan.groups),
        scores=list(plan.scores),
        payload={item.name: str(item.type) for item in payload},
        reasons=dict(sorted(reasons.items())),
        mixed=mixed,
    )


def _shards(shards: Sequence[ListedShard], reports: Sequence[ShardReport], gone: Mapping[str, int]) -> list[Shard]:
    return [
        Shard(
            number=report.number,
            uri=shard.uri,
            name=shard.name,
            bytes=report.bytes,
            sha256=report.sha256,
            rows=report.rows,
            quarantined=sum(report.reasons.values()) + sum(gone.get(block.name, 0) for block in report.blocks),
            reason=f"{report.reason}: {report.detail}" if report.reason else "",
            fingerprint=shard_fingerprint(shard),
        )
        for shard, report in zip(shards, reports, strict=True)
    ]


def _outcome(
    info: PoolInfo,
    plan: ColumnPlan,
    shards: Sequence[ListedShard],
    reports: Sequence[ShardReport],
    blocks: Sequence[Block],
    harvest: dict[str, int],
) -> Outcome:
    counts = {
        "read": info.read,
        "pool": info.rows,
        "quarantined": info.quarantined,
        "shards": len(shards),
        "shards_refused": sum(bool(report.reason) for report in reports),
        "shards_taken": sum(report.taken for report in reports),
        "blocks": len(blocks),
    }
    facts = {
        "columns": {"id": info.id, "text": info.text, "vector": info.vector},
        "guessed": list(plan.guessed),
        "notes": [plan.about_guess] if plan.about_guess else [],
        "groups": info.groups,
        "scores": info.scores,
        "dimension": info.dimension,
        "dtype": info.dtype,
        "formats": sorted({shard.format for shard in shards}),
        "bytes": sum(shard.bytes for shard in shards),
        "reasons": info.reasons,
        "mixed": info.mixed,
    }
    if harvest:
        facts["harvest"] = harvest
    return Outcome(counts, facts)
