"""The ingest step: infer the schema of every shard, read them in parallel, remove duplicate ids, count every row."""

import base64
import hashlib
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from evenkeel.infra import storage
from evenkeel.infra.errors import AccountingError
from evenkeel.infra.memory import BLOCK_BYTES, COPIES, UNPACKED, reader_bytes
from evenkeel.infra.quantities import count
from evenkeel.infra.tables import read_table, write_table
from evenkeel.infra.workspace import StepFolder
from evenkeel.tasks.ingest.config import IngestRequest
from evenkeel.tasks.ingest.duplicates import Duplicate, drop_duplicates, find_duplicates
from evenkeel.tasks.ingest.fingerprints import shard_fingerprint
from evenkeel.tasks.ingest.guarded import inspect_guarded, read_guarded
from evenkeel.tasks.ingest.limit import enough_room_for_errors, nothing_left
from evenkeel.tasks.ingest.listing import ListedShard
from evenkeel.tasks.ingest.on_device import backend_of, held_bytes
from evenkeel.tasks.ingest.packs import packs_of, read_pack
from evenkeel.tasks.ingest.plan import ColumnPlan, ShardJob, plan_columns
from evenkeel.tasks.ingest.pool import SHARD_BITS, Block, Part, PoolInfo, Shard
from evenkeel.tasks.ingest.reader import Harvester, reader_of
from evenkeel.tasks.ingest.reasons import Reason
from evenkeel.tasks.ingest.report import BlockReport, ShardReport
from evenkeel.tasks.ingest.reuse import inspect_once, keep_original
from evenkeel.tasks.ingest.schemas import (
    common_schema,
    conform_table,
    kinds_of,
    lossy_columns,
    unfit_columns,
    with_texts,
    without_lasting_type,
)
from evenkeel.tasks.ingest.writing import as_written, block_name
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
    packs = packs_of(shards)
    shards = [shard for pack in packs for shard in pack]
    inspect, read = (inspect_guarded, read_guarded) if run.compute.isolated else (inspect_once, read_pack)
    schemas = run.compute.map(partial(inspect, registry), packs, work=_INSPECTED_BYTES * len(packs))
    plan = plan_columns(request.source, shards, [schema for pack in schemas for schema in pack])
    if plan.about_guess:
        run.progress(begin, plan.about_guess)
    backend, held = backend_of(shards, run.compute), held_bytes(shards, run.compute)
    jobs = [
        tuple(
            ShardJob(
                number=shard.number,
                shard=shard,
                plan=plan.of({one.number for one in pack}),
                out=out.uri,
                scratch=run.scratch / "ingest" / out.key,
                rows_per_block=request.source.rows_per_block,
                max_row_bytes=request.source.max_row_bytes,
                backend=backend,
                version=INGEST.version,
                registry=registry,
                held=held,
            )
            for shard in pack
        )
        for pack in packs
    ]
    found = run.compute.map(
        read,
        jobs,
        work=sum(shard.bytes for shard in shards),
        each=reader_bytes(held)
        + COPIES * min(UNPACKED * max(sum(shard.bytes for shard in pack) for pack in packs), BLOCK_BYTES),
        on_done=_counter(run, len(packs), len(shards), (begin, 0.9)),
    )
    reports = [report for pack in found for report in pack]
    storage.write_json(out.path("shards.json"), [item.model_dump() for item in _shards(shards, reports, {})])
    enough_room_for_errors(request, shards, reports, out, plan)
    blocks = [block for report in reports for block in report.blocks]
    again = _take_out_duplicates(blocks, shards, plan, out, run)
    gone = Counter(number for one in again.values() for number in (one.rows >> np.uint64(SHARD_BITS)).tolist())
    payload, mixed = _same_columns(blocks, out, run)
    by_number = {report.number: report for report in reports}
    left = [
        made
        for report in reports
        for block in report.blocks
        if (made := _block(report, block, by_number, again.get(block.name))).rows
    ]
    enough_room_for_errors(request, shards, reports, out, plan, gone.total())
    info = _info(plan, reports, left, gone, payload, mixed)
    storage.write_json(out.path("shards.json"), [item.model_dump() for item in _shards(shards, reports, gone)])
    if not left:
        raise nothing_left(request, shards, reports, out, info.reasons)
    storage.write_json(out.path("blocks.json"), [block.model_dump(exclude_defaults=True) for block in left])
    storage.write_json(out.path("pool.json"), info.model_dump())
    refused = sum(bool(report.reason) for report in reports)
    notes = [f"{count(refused, 'shard')} refused"] * bool(refused) + [plan.about_guess] * bool(plan.about_guess)
    run.progress(1.0, "; ".join([f"{info.rows:,} rows in the pool, {info.quarantined:,} in quarantine", *notes]))
    return _outcome(info, plan, shards, reports, left, harvest)


def cost(request: IngestRequest, work: Workload) -> float:
    """Return the CPU-seconds of reading a pool."""
    megabytes = work.rows * work.payload_bytes / 1e6
    return 0.04 + 3e-6 * work.rows + 0.02 * megabytes + 4e-8 * work.rows * work.source_dimension


INGEST = Step(name="ingest", version=7, function=ingest, retries=2, cost=cost)


def _real_shards(request: IngestRequest, run: Run) -> tuple[list[ListedShard], dict[str, int]]:
    """Return the shards to read, and, where their reader had to write them first, the counts of that."""
    reader = reader_of(request.shards[0].format) if request.shards else None
    return reader.write_shards(request.shards, run) if isinstance(reader, Harvester) else (request.shards, {})


def _counter(run: Run, packs: int, shards: int, span: tuple[float, float]) -> Callable[[int], None]:
    def count(done: int) -> None:
        share = done / max(packs, 1)
        about = f"{round(share * shards):,} of {shards:,} shards read"
        run.progress(span[0] + (span[1] - span[0]) * share, about)

    return count


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


def _block(
    report: ShardReport, block: BlockReport, reports: Mapping[int, ShardReport], again: Duplicate | None
) -> Block:
    """Return a block as the pool has it, without the duplicates removed from it."""
    gone = np.empty(0, np.uint64) if again is None else again.rows
    if not block.packed:
        content = _content(report, block.name, gone)
        return Block(name=block.name, shard=report.number, rows=block.rows - len(gone), content=content)
    shards = (gone >> np.uint64(SHARD_BITS)).astype(np.int64)
    parts = []
    for number, rows in block.packed:
        mine = gone[shards == number]
        content = _content(reports[number], block_name(number), mine)
        parts.append(Part(shard=number, rows=rows - len(mine), content=content))
    digest = hashlib.sha256(json.dumps([part.content for part in parts]).encode()).hexdigest()[:20]
    rows = block.rows - len(gone)
    return Block(name=block.name, shard=report.number, rows=rows, content=digest, packed=tuple(parts))


def _content(report: ShardReport, name: str, again: npt.NDArray[np.uint64]) -> str:
    """Return a hash of the rows of a shard in a block: of its content, the rules of reading, the duplicates removed."""
    digest = hashlib.sha256(json.dumps([report.rules, report.sha256, name]).encode())
    digest.update(again.astype("<u8").tobytes())
    return digest.hexdigest()[:20]


def _same_columns(blocks: Sequence[BlockReport], out: StepFolder, run: Run) -> tuple[pa.Schema, dict[str, str]]:
    """Give every block's payload the same columns and types; return them, and the columns that had several types."""
    schemas = [pa.ipc.read_schema(pa.BufferReader(base64.b64decode(block.schema_))) for block in blocks]
    unlike = list(dict.fromkeys(schemas))
    schema = common_schema(unlike)
    schema = with_texts(schema, {item.name for item in schema if pa.types.is_null(item.type)})
    lossy = [block.name for block, one in zip(blocks, schemas, strict=True) if lossy_columns(one, schema)]
    found = run.compute.map(partial(_unfit, out.uri, schema), lossy, work=_BLOCK_BYTES * len(lossy))
    fine = without_lasting_type(schema)
    schema = with_texts(schema, {name for names in found for name in names} | fine)
    mixed = kinds_of(unlike)
    mixed |= {name: [str(one.field(name).type)] for one in unlike for name in fine - mixed.keys() if name in one.names}
    for block in blocks:
        for name, kinds in block.mixed.items():
            own = mixed.get(name) or [str(one.field(name).type) for one in unlike if name in one.names][:1]
            mixed[name] = list(dict.fromkeys([*kinds, *own]))
    about = {item.name: f"{', '.join(mixed[item.name])} -> {item.type}" for item in schema if item.name in mixed}
    unequal = [(block.name, bool(block.written)) for block, one in zip(blocks, schemas, strict=True) if one != schema]
    run.compute.map(partial(_conform_block, out.uri, schema), unequal, work=_BLOCK_BYTES * len(unequal))
    return schema, about


def _unfit(out: str, schema: pa.Schema, name: str) -> list[str]:
    """Return the columns of a block, as it was read, that have a value which the type in `schema` does not hold."""
    original = storage.join(out, "originals", "payload", f"{name}.parquet")
    return unfit_columns(read_table(original if storage.exists(original) else _payload(out, name)), schema)


def _payload(out: str, name: str) -> str:
    return storage.join(out, "payload", f"{name}.parquet")


def _conform_block(out: str, schema: pa.Schema, block: tuple[str, bool]) -> None:
    """Write a block's payload in a schema; block: its name, and whether some numbers were written as others are."""
    name, written = block
    uri = _payload(out, name)
    keep_original(out, "payload", name)
    table = read_table(uri)
    write_table(uri, conform_table(as_written(out, name, table, schema) if written else table, schema))


def _info(
    plan: ColumnPlan,
    reports: Sequence[ShardReport],
    blocks: Sequence[Block],
    gone: Mapping[int, int],
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


def _shards(shards: Sequence[ListedShard], reports: Sequence[ShardReport], gone: Mapping[int, int]) -> list[Shard]:
    return [
        Shard(
            number=report.number,
            uri=shard.uri,
            name=shard.name,
            bytes=report.bytes,
            sha256=report.sha256,
            rows=report.rows,
            quarantined=sum(report.reasons.values()) + gone.get(report.number, 0),
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
