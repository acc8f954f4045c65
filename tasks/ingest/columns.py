"""Convert Arrow columns of any type to texts, scores and common types, and compute their sizes and hashes."""

import json

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import xxhash

from evenkeel.infra.dtypes import Int64Array
from evenkeel.tasks.ingest.reasons import Reason

NO_GROUP = "(none)"
_INTEGER = r"^(0|-?[1-9][0-9]{0,17})$"
_NUMBER = r"^-?(0|[1-9][0-9]{0,14})(\.[0-9]{1,15})?$"
_BOOLEAN = r"^(true|false)$"


def as_text(column: pa.ChunkedArray | pa.Array) -> pa.ChunkedArray | pa.Array:
    """Return a column of any type as strings: numbers and times as written, bytes in hex, nested values as JSON."""
    kind = plain_type(column.type)
    if pa.types.is_null(kind):
        return pa.nulls(len(column), pa.string())
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind):
        return pa.array([None if item is None else item.hex() for item in column.to_pylist()], pa.string())
    if pa.types.is_nested(kind):
        return pa.array([None if item is None else _json(item) for item in column.to_pylist()], pa.string())
    return column.cast(pa.string())


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)


def as_score(column: pa.ChunkedArray) -> tuple[pa.ChunkedArray, npt.NDArray[np.bool_]]:
    """Return a column as float32 (null where unknown), and (n,) bool: True where a value is no number."""
    kind = plain_type(column.type)
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
            scores.append(None if text is None else float(text))
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
    kind = column.type
    if pa.types.is_dictionary(kind):
        return _array_bytes(column.dictionary_decode())
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or _is_bytes(kind):
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


def _is_bytes(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _is_map(kind: pa.DataType) -> bool:
    return bool(pa.types.is_map(kind))


def plain_type(kind: pa.DataType) -> pa.DataType:
    """Return the type of the values of a column: that of its values for a dictionary, of its texts for a view."""
    if pa.types.is_dictionary(kind):
        return plain_type(kind.value_type)
    if pa.types.is_string_view(kind):
        return pa.string()
    if pa.types.is_binary_view(kind):
        return pa.binary()
    return kind


def common_type(one: pa.DataType, other: pa.DataType) -> pa.DataType | None:
    """Return the type that holds the values of both, None where only text does."""
    one, other = plain_type(one), plain_type(other)
    if one == other:
        return one
    try:
        pair = [pa.schema([("x", one)]), pa.schema([("x", other)])]
        return pa.unify_schemas(pair, promote_options="permissive").field(0).type
    except pa.ArrowException:
        return None


def conform(column: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    """Return a column cast to a type that all shards have in common."""
    if column.type == kind:
        return column
    if pa.types.is_string(kind):
        texts = as_text(column)
        return texts if isinstance(texts, pa.ChunkedArray) else pa.chunked_array([texts])
    return column.cast(kind, safe=not pa.types.is_floating(kind))


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
