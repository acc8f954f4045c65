"""What the parts of an expression are worth: Arrow arrays of four types, or one scalar for all rows."""

from typing import TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

Value: TypeAlias = "pa.Array | pa.Scalar"
NUMBER, TRUTH, TEXT = pa.float64(), pa.bool_(), pa.string()
NAMES = {NUMBER: "a number", TRUTH: "a condition, true or false", TEXT: "a text"}


def as_value(column: pa.ChunkedArray | pa.Array) -> pa.Array:
    """Return a column as expressions see it: numbers as float64 without NaN, texts, truths, times or lists."""
    whole = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    kind = whole.type
    if pa.types.is_dictionary(kind):
        return as_value(whole.cast(kind.value_type))
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        found = whole.cast(NUMBER, safe=False)
        return pc.if_else(pc.is_nan(found), pa.scalar(None, NUMBER), found)
    if pa.types.is_large_string(kind) or pa.types.is_null(kind):
        return whole.cast(TEXT)
    return whole


def any_in_list(lists: pa.Array, one: pa.Scalar) -> pa.Array:
    """Return which lists of texts hold a text, (n,) bool, null for null."""
    parents = pc.list_parent_indices(lists).to_numpy()
    hit = pc.fill_null(pc.equal(pc.list_flatten(lists).cast(TEXT), one), False).to_numpy(zero_copy_only=False)
    found = np.zeros(len(lists), np.bool_)
    found[parents[hit]] = True
    return pa.array(found, mask=lists.is_null().to_numpy(zero_copy_only=False))


def spread(value: Value, rows: int) -> pa.Array:
    """Return a value for every row."""
    return pa.repeat(value, rows) if isinstance(value, pa.Scalar) else value


def has_type(value: Value, kind: pa.DataType) -> bool:
    """Tell whether a value has a type."""
    return bool(value.type == kind)


def is_null(value: Value) -> bool:
    """Tell whether a value is the constant null."""
    return isinstance(value, pa.Scalar) and not value.is_valid


def kind_of(value: Value) -> str:
    """Return what a value is, in words."""
    return NAMES.get(value.type, str(value.type))
