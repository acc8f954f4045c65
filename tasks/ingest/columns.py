"""Convert Arrow columns of any type to texts, scores and common types, and compute their sizes and hashes."""

import json
import re
import uuid

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import xxhash

from evenkeel.infra.dtypes import Int64Array
from evenkeel.tasks.ingest.column_types import is_bytes, is_list, plain_type
from evenkeel.tasks.ingest.durations import as_iso, as_seconds
from evenkeel.tasks.ingest.reasons import Reason

NO_GROUP = "(none)"
_INTEGER = r"^(0|-?[1-9][0-9]{0,17})$"
_NUMBER = r"^-?(0|[1-9][0-9]{0,14})(\.[0-9]{1,15})?$"
_BOOLEAN = r"^(true|false)$"
_CONTROL = r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]"


def as_text(column: pa.ChunkedArray | pa.Array) -> pa.ChunkedArray | pa.Array:
    """Return a column of any type as strings: numbers and times as written, nested values as JSON, UUIDs as such.

    Bytes are the UTF-8 that they are where they are printable, else in hex.
    """
    if isinstance(column, pa.ChunkedArray):
        return pa.chunked_array([as_text(chunk) for chunk in column.chunks], pa.string())
    column = _plain(column)
    kind = column.type
    if pa.types.is_null(kind):
        return pa.nulls(len(column), pa.string())
    if is_bytes(kind):
        return _bytes_as_text(column)
    if pa.types.is_fixed_size_binary(kind):
        return pa.array([None if item is None else item.hex() for item in column.to_pylist()], pa.string())
    if pa.types.is_nested(kind):
        return pa.array([None if item is None else _json(item) for item in _objects(column)], pa.string())
    texts = column.cast(pa.string())
    if pa.types.is_timestamp(kind) and pc.any(pc.starts_with(texts, "<value out of range")).as_py():
        numbers = column.cast(pa.int64()).to_pylist()
        written = zip(texts.to_pylist(), numbers, strict=True)
        return pa.array(
            [f"{at} {kind.unit} since 1970-01-01" if str(text)[:1] == "<" else text for text, at in written]
        )
    return texts


def _bytes_as_text(column: pa.Array) -> pa.Array:
    try:
        texts = column.cast(pa.large_string() if pa.types.is_large_binary(column.type) else pa.string())
        if not pc.any(pc.match_substring_regex(texts, _CONTROL)).as_py():
            return texts.cast(pa.string())
    except pa.ArrowInvalid:
        pass
    return pa.array([None if item is None else text_of_bytes(item) for item in column.to_pylist()], pa.string())


def text_of_bytes(value: bytes) -> str:
    """Return bytes as the UTF-8 text that they are where that is printable, else in hex."""
    try:
        text = value.decode()
    except UnicodeDecodeError:
        return value.hex()
    return value.hex() if re.search(_CONTROL, text) else text


def decoded(column: pa.ChunkedArray) -> tuple[pa.ChunkedArray, npt.NDArray[np.bool_]]:
    """Return bytes as the UTF-8 texts that they are, and (n,) bool: True where they are none (null in the texts)."""
    texts: list[str | None] = []
    for value in column.to_pylist():
        try:
            texts.append(None if value is None else value.decode())
        except UnicodeDecodeError:
            texts.append(None)
    known = pa.array(texts, pa.string())
    bad: npt.NDArray[np.bool_] = column.is_valid().to_numpy() & ~known.is_valid().to_numpy(zero_copy_only=False)
    return pa.chunked_array([known]), bad


def _objects(column: pa.Array) -> list[object]:
    """Return nested values as Python objects; durations, and times that Python cannot hold, as texts."""
    column = _cast(column, plain_type(column.type))
    try:
        values: list[object] = column.to_pylist()
    except (OverflowError, ValueError):
        values = _cast(column, _times_as_text(column.type)).to_pylist()
    return values


def _times_as_text(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_struct(kind):
        return pa.struct([pa.field(child.name, _times_as_text(child.type)) for child in kind])
    if pa.types.is_map(kind):
        return pa.map_(_times_as_text(kind.key_type), _times_as_text(kind.item_type))
    if is_list(kind):
        return pa.large_list(_times_as_text(kind.value_type))
    return pa.string() if pa.types.is_temporal(kind) else kind


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)


def as_score(column: pa.ChunkedArray) -> tuple[pa.ChunkedArray, npt.NDArray[np.bool_]]:
    """Return a column as float32 (null where unknown), and (n,) bool: True where a value is no number."""
    kind = plain_type(column.type)
    if pa.types.is_duration(column.type):
        column, kind = as_seconds(column), pa.float64()
    if pa.types.is_boolean(kind):
        column = column.cast(pa.int8())
    elif pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return _parsed(column)
    elif not (_is_number(kind) or pa.types.is_null(kind)):
        return pa.chunked_array([pa.nulls(len(column), pa.float32())]), pc.is_valid(column).to_numpy()
    scores = column.cast(pa.float32(), safe=False)
    return pc.if_else(pc.is_nan(scores), None, scores), np.zeros(len(column), dtype=np.bool_)


def _parsed(column: pa.ChunkedArray) -> tuple[pa.ChunkedArray, npt.NDArray[np.bool_]]:
    bad = np.zeros(len(column), dtype=np.bool_)
    scores: list[float | None] = []
    for row, text in enumerate(column.to_pylist()):
        try:
            scores.append(None if text is None else float(text.replace("_", "?")))  # Python reads 1_000
        except ValueError:
            scores.append(None)
            bad[row] = True
    parsed = pa.chunked_array([pa.array(scores, pa.float64())]).cast(pa.float32(), safe=False)
    return pc.if_else(pc.is_nan(parsed), None, parsed), bad


def row_bytes(column: pa.ChunkedArray | pa.Array) -> npt.NDArray[np.int64]:
    """Return the bytes that each value of a column takes, (n,) int64, nested values with all that is in them."""
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    return _array_bytes(column)


def _array_bytes(column: pa.Array) -> Int64Array:
    column = _plain(column)
    kind = column.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or is_bytes(kind):
        return np.asarray(pc.fill_null(pc.binary_length(column), 0).to_numpy(zero_copy_only=False), np.int64)
    if pa.types.is_struct(kind):
        return sum((_array_bytes(child) for child in column.flatten()), np.zeros(len(column), dtype=np.int64))
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_map(kind):
        offsets = column.offsets.to_numpy().astype(np.int64)
        child = pa.StructArray.from_arrays([column.keys, column.items], ["k", "v"]) if _is_map(kind) else column.values
        ends = np.concatenate([[0], np.cumsum(_array_bytes(child))])
        lengths: Int64Array = ends[offsets[1:]] - ends[offsets[:-1]]
        return lengths
    if pa.types.is_fixed_size_list(kind):
        inner = _array_bytes(column.values.slice(column.offset * kind.list_size, len(column) * kind.list_size))
        sums: Int64Array = inner.reshape(len(column), kind.list_size).sum(axis=1)
        return sums
    try:
        width = max(1, kind.bit_width // 8)
    except ValueError:
        width = 16
    return np.full(len(column), width, dtype=np.int64)


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))


def _is_map(kind: pa.DataType) -> bool:
    return bool(pa.types.is_map(kind))


def conform(column: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    """Return a column cast to a type that all shards have in common, every value kept as it is.

    Raises ArrowInvalid where a value has no equal in that type.
    """
    if column.type == kind:
        return column
    return pa.chunked_array([_cast(chunk, kind) for chunk in column.chunks], kind)


def fits(column: pa.ChunkedArray, kind: pa.DataType) -> bool:
    """Tell whether every value of a column has its equal in a type."""
    try:
        conform(column, kind)
    except pa.ArrowInvalid:
        return False
    return True


def _cast(column: pa.Array, kind: pa.DataType) -> pa.Array:
    """Return an array in a type, at every depth: what a struct lacks is null."""
    column = _plain(column)
    if column.type == kind:
        return column
    if pa.types.is_string(kind) and not pa.types.is_large_string(column.type):
        return as_text(column)
    if pa.types.is_null(column.type):
        return pa.nulls(len(column), kind)
    mask = column.is_null() if column.null_count else None
    if pa.types.is_struct(kind) and pa.types.is_struct(column.type):
        known = {child.name: at for at, child in enumerate(column.type)}
        children = [
            _cast(column.field(known[child.name]), child.type)
            if child.name in known
            else pa.nulls(len(column), child.type)
            for child in kind
        ]
        if not children:
            return column
        return pa.StructArray.from_arrays(children, fields=list(kind), mask=mask)
    if pa.types.is_map(kind) and pa.types.is_map(column.type):
        offsets = pa.array(column.offsets.to_numpy())
        keys, items = _cast(column.keys, kind.key_type), _cast(column.items, kind.item_type)
        return pa.MapArray.from_arrays(offsets, keys, items, mask=mask).cast(kind)
    if is_list(kind) and is_list(column.type) and not pa.types.is_fixed_size_list(kind):
        if pa.types.is_fixed_size_list(column.type):
            offsets = (np.arange(len(column) + 1, dtype=np.int64) + column.offset) * column.type.list_size
        else:
            offsets = column.offsets.to_numpy()
        values = _cast(column.values, kind.value_type)
        if pa.types.is_large_list(kind):
            return pa.LargeListArray.from_arrays(pa.array(offsets.astype(np.int64)), values, mask=mask)
        return pa.ListArray.from_arrays(pa.array(offsets.astype(np.int32)), values, mask=mask)
    return column.cast(kind)


def _plain(column: pa.Array) -> pa.Array:
    """Return an array without dictionary, view or extension on its outside; UUIDs and durations as texts."""
    kind = column.type
    if isinstance(kind, pa.BaseExtensionType):
        if kind.extension_name != "arrow.uuid":
            return _plain(column.storage)
        ids = [None if item is None else str(uuid.UUID(bytes=item)) for item in column.storage.to_pylist()]
        return pa.array(ids, pa.string())
    if pa.types.is_dictionary(kind):
        return _plain(column.dictionary_decode())
    if pa.types.is_nested(kind) and not pa.types.is_run_end_encoded(kind):
        return column.cast(_without_views(kind)) if _without_views(kind) != kind else column
    if pa.types.is_duration(kind):
        return as_iso(column)
    wanted = plain_type(kind)
    return column if wanted == kind else column.cast(wanted)


def _without_views(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_list_view(kind):
        return pa.list_(kind.value_field)
    return pa.large_list(kind.value_field) if pa.types.is_large_list_view(kind) else kind


def sound_text(column: pa.ChunkedArray) -> npt.NDArray[np.bool_]:
    """Return (n,) bool: True where there is a text that is not blank."""
    length = pc.utf8_length(pc.utf8_trim_whitespace(column))
    sound: npt.NDArray[np.bool_] = pc.fill_null(pc.greater(length, 0), False).to_numpy()
    return sound


def identities(ids: pa.ChunkedArray) -> npt.NDArray[np.uint64]:
    """Return xxh3-64 of each id's UTF-8 bytes, (n,) uint64."""
    return np.array([xxhash.xxh3_64_intdigest(item) for item in _utf8(ids)], dtype=np.uint64)


def id_keys(ids: pa.ChunkedArray) -> npt.NDArray[np.uint64]:
    """Return xxh3-128 of each id's UTF-8 bytes, (n, 2) uint64: equal for equal ids alone (no two of 1e9 collide)."""
    digests = b"".join([xxhash.xxh3_128_digest(item) for item in _utf8(ids)])
    return np.frombuffer(digests, dtype=">u8").reshape(-1, 2).astype(np.uint64)


def hash_and_count(texts: pa.ChunkedArray) -> tuple[pa.Array, pa.ChunkedArray]:
    """Return a hash of each text, (n,) fixed_size_binary[16], and its number of words, (n,) int32.

    The hash is xxh3-128 of the text with Unicode composed (NFC) and each run of white space as one blank.
    """
    if not pc.all(pc.string_is_ascii(texts)).as_py():
        texts = pc.utf8_normalize(texts, form="NFC")
    words = pc.utf8_split_whitespace(pc.utf8_trim_whitespace(texts))
    digests = b"".join([xxhash.xxh3_128_digest(item) for item in _utf8(pc.binary_join(words, " "))])
    hashes = pa.FixedSizeBinaryArray.from_buffers(pa.binary(16), len(texts), [None, pa.py_buffer(digests)])
    return hashes, pc.list_value_length(words)


def _utf8(texts: pa.ChunkedArray) -> list[bytes]:
    encoded: list[bytes] = texts.cast(pa.large_binary()).to_pylist()
    return encoded


def refuse(codes: npt.NDArray[np.uint8], bad: npt.NDArray[np.bool_], reason: Reason) -> None:
    """Set the reason, in place, of those rows of (n,) uint8 that are bad and have none yet."""
    codes[bad & (codes == Reason.SOUND)] = reason


def plain_types(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return strings as whole numbers, numbers or booleans where all are written as those are written back."""
    if not pa.types.is_string(column.type) or column.null_count == len(column):
        return column
    for pattern, kind in ((_INTEGER, pa.int64()), (_NUMBER, pa.float64()), (_BOOLEAN, pa.bool_())):
        if pc.all(pc.match_substring_regex(column, pattern)).as_py():
            return column.cast(kind)
    return column
