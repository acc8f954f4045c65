"""Convert Arrow columns of vectors to matrices through their flat buffers, without a Python object per number."""

import json
from collections import Counter

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from evenkeel.infra.dtypes import Array, DType
from evenkeel.tasks.ingest.reasons import Reason

SAMPLE = 256
Codes = npt.NDArray[np.uint8]


def is_list_of_numbers(kind: pa.DataType) -> bool:
    """Tell whether a column type is a list, of any kind, of numbers."""
    return _is_list(kind) and (pa.types.is_floating(kind.value_type) or pa.types.is_integer(kind.value_type))


def is_list_of_floats(kind: pa.DataType) -> bool:
    """Tell whether a column type is a list, of any kind, of floats: such a column is guessed to be the vector."""
    return _is_list(kind) and bool(pa.types.is_floating(kind.value_type))


def is_vector(kind: pa.DataType) -> bool:
    """Tell whether a column can hold vectors: lists of numbers, fixed-size binary, or text in JSON."""
    text = pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_null(kind)
    empty = _is_list(kind) and pa.types.is_null(kind.value_type)
    return is_list_of_numbers(kind) or bool(pa.types.is_fixed_size_binary(kind) or text or empty)


def vector_lengths(column: pa.Array) -> dict[int, int]:
    """Return how often each length of list occurs in the first rows of a column."""
    return dict(Counter(pc.list_value_length(column[:SAMPLE]).drop_null().to_pylist()))


def to_matrix(column: pa.ChunkedArray, dimension: int, dtype: npt.DTypeLike) -> tuple[Array, Codes]:
    """Return a column of vectors as a matrix, and what is wrong with each row.

    Accepts list, large_list, fixed_size_list (of any number type), fixed_size_binary of `dimension` little-endian
    floats and strings with JSON lists. Returns ((n, dimension) dtype, (n,) uint8 reasons).
    Rows with a reason are zero where they could not be placed.
    """
    parts = [_matrix(chunk, dimension) for chunk in column.chunks] or [_matrix(pa.nulls(0, column.type), dimension)]
    with np.errstate(over="ignore"):
        matrix = (
            np.concatenate([part[0].astype(dtype, copy=False) for part in parts]) if len(parts) > 1 else parts[0][0]
        )
        matrix = matrix.astype(dtype, copy=False)
    reasons = np.concatenate([part[1] for part in parts])
    return matrix, check_matrix(matrix, reasons)


def check_matrix(matrix: Array, reasons: Codes) -> Codes:
    """Add to (n,) reasons the rows of (n, d) float16 or float32 that are not finite or all zero.

    The bits of a float without its sign order as its size does, so the largest of a row shows both at once.
    """
    kind, infinite, sign = ("u2", 0x7C00, 0x8000) if matrix.dtype == np.float16 else ("u4", 0x7F800000, 0x80000000)
    bits: Array = np.ascontiguousarray(matrix).view(kind)
    largest = np.bitwise_and(bits, bits.dtype.type(sign - 1)).max(axis=1, initial=0)
    for reason, bad in ((Reason.VECTOR_NOT_FINITE, largest >= infinite), (Reason.ZERO_VECTOR, largest == 0)):
        reasons[bad & (reasons == Reason.SOUND)] = reason
    return reasons


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def _matrix(column: pa.Array, dimension: int) -> tuple[Array, Codes]:
    kind, rows = column.type, len(column)
    reasons = np.zeros(rows, dtype=np.uint8)
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return _from_text(column, dimension, reasons)
    if column.null_count:
        reasons[column.is_null().to_numpy(zero_copy_only=False)] = Reason.NULL_VECTOR
    if pa.types.is_null(kind) or (_is_list(kind) and pa.types.is_null(kind.value_type)):
        reasons[reasons == Reason.SOUND] = Reason.WRONG_DIMENSION
        return np.zeros((rows, dimension), dtype=np.float32), reasons
    if pa.types.is_fixed_size_binary(kind):
        return _from_binary(column, dimension, reasons)
    if not is_list_of_numbers(kind):
        reasons[reasons == Reason.SOUND] = Reason.UNPARSABLE_VECTOR
        return np.zeros((rows, dimension), dtype=np.float32), reasons
    if pa.types.is_fixed_size_list(kind):
        width = kind.list_size
        starts = (np.arange(rows, dtype=np.int64) + column.offset) * width
        lengths = np.full(rows, width, dtype=np.int64)
    else:
        offsets = column.offsets.to_numpy()
        starts, lengths = offsets[:-1].astype(np.int64), np.diff(offsets)
    sound = reasons == Reason.SOUND
    reasons[sound & (lengths != dimension)] = Reason.WRONG_DIMENSION
    placed = sound & (lengths == dimension)
    if placed.all() and (rows == 0 or starts[-1] - starts[0] == (rows - 1) * dimension):
        begin = int(starts[0]) if rows else 0
        return _numbers(column.values.slice(begin, rows * dimension)).reshape(rows, dimension), reasons
    flat = _numbers(column.values)
    matrix = np.zeros((rows, dimension), dtype=flat.dtype)
    matrix[placed] = flat[starts[placed, None] + np.arange(dimension)]
    return matrix, reasons


def _numbers(values: pa.Array) -> Array:
    """Return Arrow numbers as numpy ones, null as NaN, whole numbers as float64; floats without a copy."""
    if not pa.types.is_floating(values.type):
        values = values.cast(pa.float64(), safe=False)
    return values.to_numpy(zero_copy_only=False)  # type: ignore[no-any-return]


def _from_binary(column: pa.Array, dimension: int, reasons: Codes) -> tuple[Array, Codes]:
    width, rows = column.type.byte_width, len(column)
    dtype = binary_dtype(width, dimension)
    if dtype is None:
        reasons[reasons == Reason.SOUND] = Reason.WRONG_DIMENSION
        return np.zeros((rows, dimension), dtype=np.float32), reasons
    buffer = column.buffers()[1]
    flat = np.frombuffer(buffer, dtype=dtype, count=rows * dimension, offset=column.offset * width)
    return flat.reshape(rows, dimension), reasons


def binary_dtype(width: int, dimension: int) -> DType | None:
    """Return the float type of which `dimension` fill `width` bytes, None where none does."""
    floats: dict[int, DType] = {2: np.dtype("<f2"), 4: np.dtype("<f4"), 8: np.dtype("<f8")}
    return floats.get(width // dimension) if width % dimension == 0 else None


def _from_text(column: pa.Array, dimension: int, reasons: Codes) -> tuple[Array, Codes]:
    matrix = np.zeros((len(column), dimension), dtype=np.float32)
    for row, text in enumerate(column.to_pylist()):
        try:
            vector = None if text is None else np.asarray(_no_texts(json.loads(text)), dtype=np.float64)
        except (ValueError, TypeError):
            reasons[row] = Reason.UNPARSABLE_VECTOR
            continue
        if vector is None:
            reasons[row] = Reason.NULL_VECTOR
        elif vector.shape != (dimension,):
            reasons[row] = Reason.WRONG_DIMENSION
        else:
            with np.errstate(over="ignore"):
                matrix[row] = vector
    return matrix, reasons


def _no_texts(value: object) -> object:
    """Return a value. Raises TypeError where it is a list with texts, which numpy would read as numbers."""
    if isinstance(value, list) and any(isinstance(one, str) for one in value):
        raise TypeError("a text is no number")
    return value
