"""Times that 64 bits of microseconds, the unit of published versions, do not hold: seconds, milliseconds, INT96.

Arrow wraps such times around when it converts them. Parquet's deprecated INT96 is a Julian day in 32 bits and the
nanoseconds of the day in 64 (parquet-format, LogicalTypes): no such time overflows when it is read in seconds, so that
one in microseconds is right where both say the same second.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from evenkeel.tasks.ingest.column_types import is_list

BEYOND = "holds a time beyond 64 bits of microseconds"
_MOST = {"s": (2**63 - 1) // 10**6, "ms": (2**63 - 1) // 10**3}
Mask = npt.NDArray[np.bool_]


def beyond_microseconds(column: pa.ChunkedArray) -> Mask | None:
    """Return (n,) bool: True where a value is, or holds at any depth, such a time; None where its type has none."""
    return _rows_with(_too_far, column.combine_chunks()) if _may_be_far(column.type) else None


def wrapped(micros: pa.ChunkedArray, seconds: pa.ChunkedArray) -> Mask:
    """Return (n,) bool: True where INT96 times read as microseconds are others than read as seconds, at any depth."""
    return _rows_with(_unlike, micros.combine_chunks(), seconds.combine_chunks())


def _may_be_far(kind: pa.DataType) -> bool:
    if pa.types.is_timestamp(kind):
        return kind.unit in _MOST
    return any(_may_be_far(kind.field(at).type) for at in range(kind.num_fields))


def _too_far(column: pa.Array) -> Mask:
    if not pa.types.is_timestamp(column.type) or column.type.unit not in _MOST:
        return np.zeros(len(column), dtype=np.bool_)
    most = _MOST[column.type.unit]
    numbers = pc.fill_null(column.cast(pa.int64()), 0).to_numpy()
    far: Mask = (numbers > most) | (numbers < -most)
    return far


def _unlike(micros: pa.Array, seconds: pa.Array) -> Mask:
    if not pa.types.is_timestamp(micros.type):
        return np.zeros(len(micros), dtype=np.bool_)
    read, whole = (pc.fill_null(one.cast(pa.int64()), 0).to_numpy() for one in (micros, seconds))
    unlike: Mask = np.floor_divide(read, 10**6) != whole
    return unlike


def _rows_with(test: Callable[..., Mask], *columns: pa.Array) -> Mask:
    """Return (n,) bool: True where a test of equally built columns is true of any value in a row."""
    column = columns[0]
    kind = column.type
    if pa.types.is_struct(kind):
        children = zip(*(one.flatten() for one in columns), strict=True)
        return _any_of([np.zeros(len(column), np.bool_), *(_rows_with(test, *one) for one in children)])
    if pa.types.is_fixed_size_list(kind):
        inner = _rows_with(test, *(one.flatten() for one in columns))
        lengths = np.where(column.is_valid().to_numpy(zero_copy_only=False), kind.list_size, 0)
        return _by_list(inner, np.concatenate([[0], np.cumsum(lengths)]))
    if is_list(kind) or pa.types.is_map(kind):
        parts = [[one.values] if is_list(kind) else [one.keys, one.items] for one in columns]
        inner = _any_of([_rows_with(test, *part) for part in zip(*parts, strict=True)])
        return _by_list(inner, column.offsets.to_numpy())
    return test(*columns)


def _any_of(masks: list[Mask]) -> Mask:
    found: Mask = np.logical_or.reduce(masks)
    return found


def _by_list(inner: Mask, offsets: npt.NDArray[np.integer[Any]]) -> Mask:
    """Return (n,) bool: True where any of the values of a list is marked; offsets: (n + 1,)."""
    found: Mask = np.diff(np.concatenate([[0], np.cumsum(inner)])[offsets]) > 0
    return found
