"""Check the rows of a shard before they go into a block, and make the row table of a block."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from evenkeel.infra.dtypes import Array
from evenkeel.tasks.ingest import columns
from evenkeel.tasks.ingest.column_types import is_bytes, may_lose, plain_type
from evenkeel.tasks.ingest.listing import ListedShard
from evenkeel.tasks.ingest.plan import ColumnPlan, ShardJob
from evenkeel.tasks.ingest.pool import SHARD_BITS
from evenkeel.tasks.ingest.reader import Batch, reader_of
from evenkeel.tasks.ingest.reasons import Reason
from evenkeel.tasks.ingest.schemas import conform_table, stack
from evenkeel.tasks.ingest.times import BEYOND, beyond_microseconds
from evenkeel.tasks.ingest.vectors import check_matrix, to_matrix

Refusal = tuple[int, str, Reason, str]


@dataclass(frozen=True)
class CheckedRows:
    """Sound rows: shards (n,), numbers in them (n,), ids, payload, groups and scores by name, vectors (n, d)."""

    shards: npt.NDArray[np.int32]
    numbers: npt.NDArray[np.int64]
    ids: pa.ChunkedArray
    payload: pa.Table
    extra: pa.Table
    vectors: Array | None

    def slice(self, begin: int, end: int) -> "CheckedRows":
        """Return rows `begin` up to and without `end`."""
        vectors = None if self.vectors is None else self.vectors[begin:end]
        return CheckedRows(
            self.shards[begin:end],
            self.numbers[begin:end],
            self.ids.slice(begin, end - begin),
            self.payload.slice(begin, end - begin),
            self.extra.slice(begin, end - begin),
            vectors,
        )


def together(parts: list[CheckedRows]) -> CheckedRows:
    """Return the rows of several batches, of one shard or several, as one."""
    if len(parts) == 1:
        return parts[0]
    vectors = [part.vectors for part in parts if part.vectors is not None]
    return CheckedRows(
        np.concatenate([part.shards for part in parts]),
        np.concatenate([part.numbers for part in parts]),
        pa.chunked_array([chunk for part in parts for chunk in part.ids.chunks], pa.string()),
        stack([part.payload for part in parts]),
        pa.concat_tables([part.extra for part in parts]),
        np.concatenate(vectors) if vectors else None,
    )


def typed(payload: pa.Table, plan: ColumnPlan) -> tuple[pa.Table, list[str]]:
    """Return a payload of strings with numbers as numbers, and the columns that would not be written back as they were.

    The recipe's id, text and groups stay as written.
    """
    kept = {plan.id, plan.text, *plan.groups}
    names = payload.column_names
    table = pa.table({name: payload[name] if name in kept else columns.plain_types(payload[name]) for name in names})
    numbers = [name for name in names if table[name].type == pa.float64() and payload[name].type == pa.string()]
    return table, [name for name in numbers if columns.as_text(table[name]) != payload[name]]


def check_rows(batch: Batch, job: ShardJob) -> tuple[CheckedRows, list[Refusal]]:
    """Return the sound rows of a batch, and (row, id, reason, detail) of the others."""
    plan, rows = job.plan, len(batch.rows)
    codes = np.zeros(rows, dtype=np.uint8)
    table = _with_texts(batch.table, plan, codes)

    def column(name: str) -> pa.ChunkedArray:
        return table[name] if name in table.column_names else pa.chunked_array([pa.nulls(rows)])

    ids = _ids(column(plan.id), codes) if plan.id is not None else _made_ids(batch.rows, job.shard.name)
    if plan.text is not None:
        texts = columns.conform(column(plan.text), pa.string())
        columns.refuse(codes, ~columns.sound_text(texts), Reason.EMPTY_TEXT)
    unmeasured = (plan.vector, "")
    dropped = [name for name in unmeasured if name in table.column_names and not (name and name == plan.kept_vector)]
    payload = table.drop_columns(dropped)
    measured = [name for name in payload.column_names if name not in unmeasured]
    sizes = sum((columns.row_bytes(payload[name]) for name in measured), np.zeros(rows, dtype=np.int64))
    columns.refuse(codes, sizes > job.max_row_bytes, Reason.OVERSIZE_ROW)
    far = _refuse_far_times(payload, codes)
    matrix = _matrix(batch, plan, codes)
    extra: dict[str, pa.ChunkedArray] = {}
    for name in plan.groups:
        texts = columns.conform(column(name), pa.string())
        extra[f"group.{name}"] = pc.fill_null(texts, columns.NO_GROUP)
    for name in plan.scores:
        extra[f"score.{name}"], bad = columns.as_score(column(name))
        columns.refuse(codes, bad, Reason.SCORE_NOT_A_NUMBER)
    payload = _payload(payload, plan, job.shard) if payload.num_columns else pa.table({"": pa.nulls(rows)})
    refusals = []
    for at in np.flatnonzero(codes):
        reason = Reason(int(codes[at]))
        detail = far.get(int(at)) if reason is Reason.UNPARSABLE_ROW else None
        detail = detail or _detail(reason, batch, job, sizes, int(at))
        refusals.append((int(batch.rows[at]), ids[at].as_py() or "", reason, detail))
    sound = codes == Reason.SOUND
    shards = np.full(rows, job.number, dtype=np.int32)
    extras = pa.table(extra) if extra else pa.table({"": pa.nulls(rows)})
    if sound.all():
        return CheckedRows(shards, batch.rows, ids, payload, extras, matrix), refusals
    mask = pa.array(sound)
    taken = CheckedRows(
        shards[sound],
        batch.rows[sound],
        ids.filter(mask),
        payload.filter(mask),
        extras.filter(mask),
        None if matrix is None else matrix[sound],
    )
    return taken, refusals


def _with_texts(table: pa.Table, plan: ColumnPlan, codes: npt.NDArray[np.uint8]) -> pa.Table:
    """Return a batch in which id, text and groups are texts where they were bytes; refuse rows whose text is none."""
    for name in dict.fromkeys((plan.text, plan.id, *plan.groups)):
        if name is None or name not in table.column_names or not is_bytes(plain_type(table[name].type)):
            continue
        if name == plan.text:
            texts, bad = columns.decoded(table[name])
            columns.refuse(codes, bad, Reason.UNPARSABLE_ROW)
        else:
            texts = columns.conform(table[name], pa.string())
        table = table.set_column(table.column_names.index(name), name, texts)
    return table


def _refuse_far_times(payload: pa.Table, codes: npt.NDArray[np.uint8]) -> dict[int, str]:
    """Refuse the rows with times that no published version holds; return what is said of each."""
    about: dict[int, str] = {}
    for name in payload.column_names:
        if (far := beyond_microseconds(payload[name])) is not None and far.any():
            far &= codes == Reason.SOUND
            columns.refuse(codes, far, Reason.UNPARSABLE_ROW)
            about |= dict.fromkeys(np.flatnonzero(far).tolist(), f"{name!r} {BEYOND}")
    return about


def _ids(column: pa.ChunkedArray, codes: npt.NDArray[np.uint8]) -> pa.ChunkedArray:
    ids = columns.conform(column, pa.string())
    missing = pc.fill_null(pc.equal(pc.binary_length(ids), 0), True).to_numpy(zero_copy_only=False)
    columns.refuse(codes, missing, Reason.NULL_ID)
    return ids


def _made_ids(rows: npt.NDArray[np.int64], shard: str) -> pa.ChunkedArray:
    numbers = pa.array(rows).cast(pa.string())
    return pa.chunked_array([pc.binary_join_element_wise(shard, numbers, ":")])


def _matrix(batch: Batch, plan: ColumnPlan, codes: npt.NDArray[np.uint8]) -> Array | None:
    """Return the vectors of a batch as the pool stores them, and mark the rows whose vector is not sound."""
    if plan.vector is None or plan.dimension is None or plan.dtype is None:
        return None
    if batch.vectors is None:
        if plan.vector not in batch.table.column_names:
            columns.refuse(codes, np.ones(len(codes), dtype=np.bool_), Reason.NULL_VECTOR)
            return np.zeros((len(codes), plan.dimension), dtype=plan.dtype)
        matrix, found = to_matrix(batch.table[plan.vector], plan.dimension, plan.dtype)
    elif batch.vectors.shape[1] != plan.dimension:
        columns.refuse(codes, np.ones(len(codes), dtype=np.bool_), Reason.WRONG_DIMENSION)
        return np.zeros((len(codes), plan.dimension), dtype=plan.dtype)
    else:
        with np.errstate(over="ignore"):
            matrix = batch.vectors.astype(plan.dtype)
        found = check_matrix(matrix, np.zeros(len(matrix), dtype=np.uint8))
    np.copyto(codes, found, where=(codes == Reason.SOUND))
    return matrix


def _payload(payload: pa.Table, plan: ColumnPlan, shard: ListedShard) -> pa.Table:
    """Return the user's columns in the planned types, dictionaries and views decoded."""
    if reader_of(shard.format).types == "declared":
        kinds = [(item.name, _kind(plain_type(item.type), plan.types.get(item.name))) for item in payload.schema]
        names = {name for name, _ in kinds}
        kinds += [(name, kind) for name, kind in plan.types.items() if name not in names]
        order = {name: at for at, name in enumerate(plan.types)}
        kinds.sort(key=lambda item: order[item[0]])
    else:
        kinds = [(item.name, plain_type(item.type)) for item in payload.schema]
    return conform_table(payload.replace_schema_metadata(), pa.schema(kinds))


def _kind(own: pa.DataType, planned: pa.DataType | None) -> pa.DataType:
    """Return the planned type of a column, or its own where that might lose digits: all blocks together decide then."""
    return own if planned is None or may_lose(own, planned) else planned


def _detail(reason: Reason, batch: Batch, job: ShardJob, sizes: npt.NDArray[np.int64], at: int) -> str:
    plan = job.plan
    if reason is Reason.OVERSIZE_ROW:
        return f"{sizes[at]:,} bytes"
    if reason is Reason.UNPARSABLE_ROW:
        return f"{plan.text!r} is not UTF-8"
    if reason is Reason.WRONG_DIMENSION:
        if batch.vectors is not None:
            return f"{plan.vector!r}: {batch.vectors.shape[1]} instead of {plan.dimension}"
        value = batch.table[plan.vector][at]
        length = len(value.as_py()) if pa.types.is_nested(value.type) else value
        return f"{plan.vector!r}: {length} instead of {plan.dimension}"
    if reason is Reason.SCORE_NOT_A_NUMBER:
        values = {name: batch.table[name][at].as_py() for name in plan.scores if name in batch.table.column_names}
        return f"{values}"[:200]
    return ""


def row_table(rows: CheckedRows, plan: ColumnPlan) -> pa.Table:
    """Return the row table of a block, as docs/ARCHITECTURE.md describes it."""
    count = len(rows.numbers)
    if plan.text is not None:
        texts = columns.conform(rows.payload[plan.text], pa.string())
        hashes, words = columns.hash_and_count(texts)
    else:
        hashes, words = pa.nulls(count, pa.binary(16)), pa.nulls(count, pa.int32())
    table = {
        "row_id": rows.numbers.astype(np.uint64) | rows.shards.astype(np.uint64) << np.uint64(SHARD_BITS),
        "shard": rows.shards,
        "row": rows.numbers,
        "id": rows.ids,
        "identity": columns.identities(rows.ids),
        "text_hash": hashes,
        "tokens": words,
    }
    extra = {name: rows.extra[name] for name in rows.extra.column_names if name}
    return pa.table({**table, **extra})
