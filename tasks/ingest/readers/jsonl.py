"""Read JSON lines, plain or compressed: by Arrow's parser, and by Python's where a piece holds a bad line."""

import json
import math
import re
from collections.abc import Iterator
from typing import BinaryIO, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json

from evenkeel.tasks.ingest.compressed import decompressed
from evenkeel.tasks.ingest.reader import Batch, LocalShard, Reader, ShardSchema, ShardUnreadable, with_names
from evenkeel.tasks.ingest.vectors import is_list_of_numbers, vector_lengths

PIECE = 4 << 20
LONGEST_LINE = 256 << 20
DEEPEST = 100
_EXACT = float(1 << 53)
_NO_BRACKET = bytes(set(range(256)) - set(b"[]{}\n"))
_STEP = np.zeros(256, dtype=np.int8)
_STEP[list(b"[{")], _STEP[list(b"]}")] = 1, -1
_TEXT = re.compile(rb'"(?:[^"\\]|\\.)*"')


class JsonlReader(Reader):
    """JSON lines: one object per line."""

    name: ClassVar[str] = "jsonl"
    suffixes: ClassVar[tuple[str, ...]] = (".jsonl", ".ndjson", ".json")

    def inspect(self, stream: BinaryIO, name: str) -> ShardSchema:
        """Return the schema of the first rows and the lengths of their vectors."""
        with decompressed(stream, name) as plain:
            for piece in _pieces(plain, 1 << 20):
                _refuse_array(piece, name)
                table = _batch(piece, 0).table
                lengths = {
                    field.name: vector_lengths(table[field.name].combine_chunks())
                    for field in table.schema
                    if is_list_of_numbers(field.type)
                }
                return ShardSchema(schema=table.schema, lengths=lengths, sample=True)
        return ShardSchema(schema=pa.schema([]), rows=0)

    def batches(self, shard: LocalShard) -> Iterator[Batch]:
        """Yield one batch per piece of the file; blank lines are no rows, bad lines are rejects."""
        first = 0
        with shard.path.open("rb") as raw, decompressed(raw, shard.path.name) as plain:
            for piece in _pieces(plain, PIECE):
                if first == 0:
                    _refuse_array(piece, shard.path.name)
                batch = _batch(piece, first)
                first += len(batch.rows) + len(batch.rejects)
                if len(batch.rows) or batch.rejects:
                    yield batch


def _pieces(plain: BinaryIO, size: int) -> Iterator[bytes]:
    """Cut a stream at line ends into pieces of about `size` bytes."""
    rest = b""
    begin = True
    while read := plain.read(size):
        if begin:
            read, begin = read.removeprefix(b"\xef\xbb\xbf"), False
        cut = read.rfind(b"\n") + 1
        if cut:
            yield rest + read[:cut]
            rest = read[cut:]
        else:
            rest += read
            if len(rest) > LONGEST_LINE:
                raise ShardUnreadable(f"a line is longer than {LONGEST_LINE:,} bytes: is this JSON lines?")
    if rest:
        yield rest


def _refuse_array(piece: bytes, name: str) -> None:
    """Raise ShardUnreadable where the first lines of a file are those of one JSON array."""
    head = piece.lstrip()
    if not head.startswith(b"["):
        return
    line, _, rest = head.partition(b"\n")
    line = line.strip()
    try:
        json.loads(line)
        whole = not rest.strip()
    except (ValueError, RecursionError):
        whole = line.endswith((b"[", b"{", b","))
    if whole:
        raise ShardUnreadable(f"{name} holds a JSON array, not JSON lines: write one object a line (jq -c '.[]')")


def _batch(piece: bytes, first: int) -> Batch:
    lines = [line for line in piece.split(b"\n") if line.strip()]
    table = _by_arrow(piece, len(lines)) if _safe_for_arrow(piece, lines) else None
    if table is not None:
        return Batch(rows=np.arange(first, first + len(lines), dtype=np.int64), table=table)
    return _by_line(lines, first)


def _safe_for_arrow(piece: bytes, lines: list[bytes]) -> bool:
    """Tell whether Arrow's parser may see a piece: it dies of a first line `null`, and of endless nesting."""
    return all(line.lstrip()[:1] == b"{" for line in lines) and _nesting(piece) <= DEEPEST


def _nesting(content: bytes) -> int:
    """Return how deep brackets are nested at most in any line; those in texts count, so that it may be less."""
    codes = np.frombuffer(content.translate(None, _NO_BRACKET), dtype=np.uint8)
    if not len(codes):
        return 0
    depth = np.cumsum(_STEP[codes], dtype=np.int64)
    starts = np.flatnonzero(np.concatenate([[True], codes[:-1] == ord("\n")]))
    highest = np.maximum.reduceat(depth, starts)
    before = np.concatenate([[0], depth[starts[1:] - 1]])
    return int((highest - before).max())


def _by_arrow(piece: bytes, rows: int) -> pa.Table | None:
    """Return the table Arrow makes of a piece; None where a line is bad or a value would not survive."""
    options = pa.json.ReadOptions(use_threads=False, block_size=max(len(piece) + 1, 1 << 10))
    try:
        table = pa.json.read_json(pa.BufferReader(piece), read_options=options)
        if any(_has_time(field.type) for field in table.schema):
            texts = pa.schema([pa.field(field.name, _as_written(field.type)) for field in table.schema])
            parse = pa.json.ParseOptions(explicit_schema=texts)
            table = pa.json.read_json(pa.BufferReader(piece), read_options=options, parse_options=parse)
        table.validate(full=True)
    except (pa.ArrowException, ValueError):
        return None
    whole = table.num_rows == rows and table.num_columns and all(map(_exact, table.itercolumns()))
    return with_names(table) if whole else None


def _exact(column: pa.ChunkedArray | pa.Array) -> bool:
    """Tell whether every number, at any depth, is one, and no whole one was too long for the double it was put in."""
    kind = column.type
    if pa.types.is_list(kind):
        return _exact(pc.list_flatten(column))
    if pa.types.is_struct(kind):
        return all(_exact(pc.struct_field(column, [at])) for at in range(kind.num_fields))
    if kind != pa.float64():
        return True
    return bool(pc.all(pc.less(pc.abs(column), _EXACT), min_count=0).as_py())


def _has_time(kind: pa.DataType) -> bool:
    if pa.types.is_list(kind):
        return _has_time(kind.value_type)
    if pa.types.is_struct(kind):
        return any(_has_time(field.type) for field in kind)
    return bool(pa.types.is_temporal(kind))


def _as_written(kind: pa.DataType) -> pa.DataType:
    """Return the type with strings where Arrow saw dates: a text that looks like a date stays as it was written."""
    if pa.types.is_list(kind):
        return pa.list_(_as_written(kind.value_type))
    if pa.types.is_struct(kind):
        return pa.struct([pa.field(field.name, _as_written(field.type)) for field in kind])
    return pa.string() if pa.types.is_temporal(kind) else kind


def _no_number(name: str) -> float:
    raise ValueError(f"{name} is no JSON")


def _finite(digits: str) -> float:
    if math.isinf(number := float(digits)):
        raise ValueError(f"{digits[:40]} is more than a double holds")
    return number


def _by_line(lines: list[bytes], first: int) -> Batch:
    rows: list[int] = []
    objects: list[dict[str, object]] = []
    rejects: list[tuple[int, str]] = []
    for row, line in enumerate(lines, start=first):
        try:
            if _nesting(_TEXT.sub(b"", line)) > DEEPEST:
                raise ValueError(f"nested deeper than {DEEPEST} levels")
            value = json.loads(line.decode(), parse_constant=_no_number, parse_float=_finite)
            if not isinstance(value, dict):
                raise ValueError(f"expected an object, found {type(value).__name__}")
            if b"\\u" in line:
                json.dumps(value, ensure_ascii=False).encode()
        except (ValueError, RecursionError) as error:
            rejects.append((row, f"{error} in {line[:80]!r}"))
        else:
            rows.append(row)
            objects.append(value)
    names = dict.fromkeys(name for value in objects for name in value)
    columns = {name: _column([value.get(name) for value in objects]) for name in names}
    table = with_names(pa.table(columns)) if columns else pa.table({"": pa.nulls(len(rows))})
    return Batch(rows=np.array(rows, dtype=np.int64), table=table, rejects=rejects)


def _column(values: list[object]) -> pa.Array:
    """Return values as one Arrow column; values of no common type as texts, numbers as Arrow writes them."""
    try:
        return pa.array(values)
    except (pa.ArrowException, TypeError, OverflowError):
        return pa.array([value if value is None or isinstance(value, str) else _text(value) for value in values])


def _text(value: object) -> str:
    if isinstance(value, float):  # as where the whole piece holds doubles, so that pieces do not differ
        return str(pa.scalar(value).cast(pa.string()).as_py())
    return json.dumps(value, ensure_ascii=False)
