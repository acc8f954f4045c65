"""Read a column of a list as float64."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from evenkeel.infra.dtypes import Float64Array
from evenkeel.infra.errors import InputError
from evenkeel.tasks.ingest.column_types import plain_type

NUMERIC = (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal, pa.types.is_null)


def as_numbers(column: pa.ChunkedArray, where: str) -> Float64Array:
    """Return a column of numbers, booleans or texts of numbers as (n,) float64, NaN for null and for an empty text.

    Raises InputError for anything else, naming a value.
    """
    kind = plain_type(column.type)
    found = column.cast(kind) if kind != column.type else column
    if pa.types.is_boolean(kind):
        found = found.cast(pa.int8())
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        trimmed = pc.utf8_trim_whitespace(found)
        found = pc.if_else(pc.equal(trimmed, ""), pa.scalar(None, trimmed.type), trimmed)
    elif not any(fits(found.type) for fits in NUMERIC):
        raise InputError("a column of values is none of numbers", expected="numbers", found=str(kind), where=where)
    try:
        numbers = found.cast(pa.float64(), safe=False)
    except pa.ArrowInvalid as error:
        raise InputError("a value is no number", found=str(error), where=where, remedy="correct the list") from error
    values: Float64Array = np.asarray(numbers.to_numpy(), np.float64)
    return values
