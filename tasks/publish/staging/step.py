"""The step that writes the data files of the coming version, in a folder of its own that no reader knows yet."""

import secrets
from functools import partial

import pyarrow as pa

from evenkeel.infra import storage
from evenkeel.infra.compute import Compute
from evenkeel.infra.errors import AccountingError, InputError
from evenkeel.infra.memory import bytes_of_a_task
from evenkeel.infra.tables import read_footer
from evenkeel.infra.workspace import StepFolder, StepRef
from evenkeel.tasks.annotate.columns import schema_of, written_columns
from evenkeel.tasks.cluster.hierarchy import Hierarchy
from evenkeel.tasks.ingest.pool import Pool
from evenkeel.tasks.publish.config import StageConfig
from evenkeel.tasks.publish.layout import VERSIONS, check_destination, dataset_folder
from evenkeel.tasks.publish.manifest import SourceShard, Staged, content_key
from evenkeel.tasks.publish.redact import without_secrets
from evenkeel.tasks.publish.staging import dispositions
from evenkeel.tasks.publish.staging.attempts import attempt, clear_killed
from evenkeel.tasks.publish.staging.beside import copy_clusters, copy_made, copy_quotas, write_quarantined
from evenkeel.tasks.publish.staging.excerpt import Excerpt
from evenkeel.tasks.publish.staging.following import follow, write_placed
from evenkeel.tasks.publish.staging.gather import GatherJob, gather
from evenkeel.tasks.publish.staging.inputs import StageInputs
from evenkeel.tasks.publish.staging.order import Order, plan, plan_ranked
from evenkeel.tasks.publish.staging.scatter import COUNTED, SIGNAL_TYPES, Scattered, ScatterJob, scatter, signal_name
from evenkeel.tasks.publish.staging.schema import published
from evenkeel.tasks.step import Outcome, Run, Step
from evenkeel.tasks.workload import Workload

STAGED = "staged.json"
FILE_BYTES, GROUP_BYTES = 256 << 20, 16 << 20
ROW_BYTES = 64


def stage(config: StageConfig, inputs: StageInputs, out: StepFolder, run: Run) -> Outcome:
    """Write the files of the coming version - rows, dispositions, centroids, quotas - below a prefix of its own.

    Rows are sorted by cluster path and row id; the bytes do not depend on the number of workers. Raises StorageError
    where the destination does not take files, AccountingError where the dispositions of the rows do not add up
    to the rows read.
    """
    check_destination(config.uri, run.dataset)
    clear_killed(out)
    storage.remove(out.path("pieces"))
    name = f"{out.key[:12]}-{secrets.token_hex(4)}"
    folder = storage.join(dataset_folder(config.uri, run.dataset), VERSIONS, name)
    with attempt(out, folder):
        found = _stage(config, inputs, out, run, folder)
    storage.write_json(out.path(STAGED), found.model_dump(mode="json"))
    run.progress(1.0, f"staged {found.counts['kept']:,} rows in {len(found.data):,} files")
    facts = {
        "location": folder,
        "content_key": found.content_key,
        "files": len(found.data),
        "bytes": sum(entry.bytes for entry in found.data),
    }
    return Outcome(counts=found.counts, facts=facts)


def data_is_there(ref: StepRef) -> bool:
    """Return whether the staged files are still where the step put them: a prune may have removed them since."""
    return storage.exists(storage.join(ref.facts["location"], read_staged(ref).data[0].path))


def read_staged(ref: StepRef) -> Staged:
    """Return what the stage step left."""
    return Staged.model_validate(storage.read_json(storage.join(ref.uri, STAGED)))


def _stage(config: StageConfig, inputs: StageInputs, out: StepFolder, run: Run, folder: str) -> Staged:
    pool, hierarchy = Pool.open(inputs.ingest, run.scratch, inputs.signals), Hierarchy.open(inputs.cluster)
    selection = storage.join(inputs.sample.uri, "selection.parquet")
    annotated = list(schema_of([one for ref in inputs.annotations.values() for one in written_columns(ref)]))[1:]
    schema, row_bytes = _schema(pool, config.payload == "rows", len(hierarchy.levels), annotated)
    rows_per_file = max(min(config.rows_per_file, FILE_BYTES // row_bytes), 1)
    order = _plan(selection, hierarchy, rows_per_file, inputs, pool, out, run.compute)
    order.save(out.path("order"))
    work = ScatterJob(
        pool=inputs.ingest.uri,
        scratch=str(run.scratch),
        duplicates=inputs.dedup.uri,
        selection=selection,
        order=out.path("order"),
        pieces=out.path("pieces"),
        folder=folder,
        schema=schema.serialize().to_pybytes(),
        payload=config.payload == "rows",
        groups=tuple(pool.info.groups),
        signals=dict(inputs.signals),
        annotations=dict(inputs.annotations),
        memory=run.compute.piece_bytes(pool.rows * row_bytes),
        fates=config.fates,
        excerpt=None if inputs.excerpt is None else Excerpt(inputs.excerpt.uri),
    )
    groups = _runs([block.name for block in pool.blocks], 4 * run.compute.workers * run.compute.threads)
    run.progress(0.05, f"sorting kept rows of {len(pool.blocks):,} blocks into {order.files:,} files")
    scattered = run.compute.map(
        partial(scatter, work),
        groups,
        work=pool.rows * row_bytes,
        each=2 * work.memory + bytes_of_a_task(pool.rows * row_bytes, len(pool.blocks)),
        on_done=lambda n: run.progress(0.05 + 0.45 * n / len(groups), "sorting kept rows"),
    )
    counts = _counts(scattered, pool, inputs.excerpt)
    files = GatherJob(
        pieces=tuple(piece for part in scattered for piece in part.pieces),
        order=work.order,
        folder=folder,
        rows_per_group=max(min(config.rows_per_group, GROUP_BYTES // row_bytes), 1),
    )
    if not files.pieces:
        raise InputError("no row is selected", where=selection, remedy="a version needs a row: raise sampling.target")
    data = run.compute.map(
        partial(gather, files),
        range(order.files),
        work=pool.rows * row_bytes,
        on_done=lambda n: run.progress(0.5 + 0.45 * n / order.files, f"writing data files: {n:,} of {order.files:,}"),
    )
    beside = [entry for part in scattered for entry in part.dispositions]
    beside += [
        write_quarantined(pool, folder),
        *copy_clusters(inputs.cluster.uri, folder),
        *copy_quotas(inputs.sample.uri, folder),
        *copy_made(inputs.annotations, folder),
    ]
    storage.remove(work.pieces)
    return Staged(
        run=folder.rpartition("/")[2],
        folder=folder,
        content_key=content_key([*data, *beside]),
        payload=config.payload,
        columns={field.name: str(field.type) for field in schema},
        groups=pool.info.groups,
        levels=len(hierarchy.levels),
        centroid_hash=hierarchy.centroid_hash,
        counts=counts,
        shards=[SourceShard(**{**shard.model_dump(), "uri": without_secrets(shard.uri)}) for shard in pool.shards],
        files=[*data, *beside],
    )


def _plan(
    selection: str,
    hierarchy: Hierarchy,
    rows_per_file: int,
    inputs: StageInputs,
    pool: Pool,
    out: StepFolder,
    compute: Compute,
) -> Order:
    """Return the order of the rows: by cluster path, after what their annotations ask."""
    paths, following = hierarchy.paths(), follow(inputs.annotations, pool, compute)
    if following is None:
        return plan(selection, paths, rows_per_file)
    if following.ranked:
        return plan_ranked(inputs.sample.counts["kept"], paths, rows_per_file, following)
    placed = out.path("placed.parquet")
    write_placed(placed, inputs.annotations, pool, inputs.sample.uri, following, len(paths))
    found = plan(placed, paths, rows_per_file, following)
    storage.remove(placed)
    return found


def _schema(pool: Pool, payload: bool, levels: int, annotated: list[pa.Field]) -> tuple[pa.Schema, int]:
    """Return the published schema and how many bytes a row takes in memory, judged by the pool's first blocks."""
    theirs: list[pa.Field] = [pa.field(name, pa.string()) for name in pool.info.groups]
    row_bytes, rows = 0, 0
    if payload and pool.blocks:
        for block in pool.blocks[:8]:
            footer = read_footer(storage.join(pool.uri, "payload", f"{block.name}.parquet"))
            theirs = list(footer.schema.to_arrow_schema())
            row_bytes += sum(footer.row_group(number).total_byte_size for number in range(footer.num_row_groups))
            rows += footer.num_rows
    ours = [
        pa.field("ek_row_id", pa.int64()),
        pa.field("ek_id", pa.string()),
        pa.field("ek_identity", pa.int64()),
        pa.field("ek_shard", pa.int32()),
        pa.field("ek_row", pa.int64()),
        *(pa.field(f"ek_cluster_{level}", pa.int32()) for level in range(1, levels + 1)),
        pa.field("ek_copies", pa.int32()),
        pa.field("ek_weight", pa.float64()),
        pa.field("ek_group_size", pa.int32()),
        *(pa.field(signal_name(column), SIGNAL_TYPES[column.partition(".")[0]]) for column in pool.signals),
        *annotated,
    ]
    added = 8 * (len(pool.signals) + len(annotated))
    return published(pa.schema([*theirs, *ours])), ROW_BYTES + added + row_bytes // max(rows, 1)


def _counts(scattered: list[Scattered], pool: Pool, taken_from: StepRef | None) -> dict[str, int]:
    """Return rows by disposition. Raises AccountingError unless they add up to the rows read.

    taken_from: the excerpt that the kept rows were read from; it counted all rows of the pool.
    """
    counts = {name: sum(part.counts[name] for part in scattered) for name in COUNTED}
    if taken_from is not None:
        counts |= {name: counts[name] + taken_from.counts[name] for name in dispositions.DROPPED}
        counts["not_sampled"] += taken_from.counts["left"] - counts["kept"]
    counts["quarantined"] += pool.info.quarantined
    found = sum(count for name, count in counts.items() if name != "copies")
    if found != pool.info.read:
        raise AccountingError(
            "the dispositions of the rows do not add up",
            expected=f"{pool.info.read:,} rows read",
            found=f"{found:,} = " + " + ".join(f"{counts[name]:,} {name}" for name in counts if name != "copies"),
            remedy="this is a defect of ours: please report it with the workspace's done.json files",
        )
    return {"read": pool.info.read, **counts}


def _runs(blocks: list[str], count: int) -> list[tuple[str, ...]]:
    """Cut the blocks into at most `count` consecutive runs, in pool order."""
    size = max(-(-len(blocks) // count), 1)
    return [tuple(blocks[first : first + size]) for first in range(0, len(blocks), size)]


def cost(config: StageConfig, work: Workload) -> float:
    """Return the CPU-seconds of writing the data files."""
    return 0.04 + 3e-6 * work.rows + 0.01 * work.kept * (work.payload_bytes + 4 * work.dimension) / 1e6


STAGE = Step("stage", 3, stage, intact=data_is_there, cost=cost)
