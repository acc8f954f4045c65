"""The vectors of a guide in a column of the source: lists of floats, one a row."""

import pyarrow as pa
import pyarrow.compute as pc


def dimensions(column: pa.Array | pa.ChunkedArray) -> tuple[int, int] | None:
    """Return the least and the greatest length of the lists of a column, 0 for a row without one; None for no lists.

    (-1, -1) for no row.
    """
    kind = column.type
    listed = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    if not listed or not pa.types.is_floating(kind.value_type):
        return None
    if not len(column):
        return -1, -1
    ends = pc.min_max(pc.fill_null(pc.list_value_length(column), 0))
    return int(ends["min"].as_py()), int(ends["max"].as_py())
