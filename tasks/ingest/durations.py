"""Durations as what every reader knows: ISO 8601 texts, exact in any unit, and seconds where a number is wanted."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

_PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}


def as_iso(column: pa.Array) -> pa.Array:
    """Return durations of any unit as ISO 8601 texts in seconds, (n,) string: `PT90.5S`, `-PT0.001S`; null stays."""
    ticks = column.cast(pa.int64())
    missing = ticks.is_null().to_numpy(zero_copy_only=False)
    numbers = pc.fill_null(ticks, 0).to_numpy()
    sizes = np.abs(numbers).view(np.uint64)  # also of the least one, whose absolute value no int64 holds
    per_second = np.uint64(_PER_SECOND[column.type.unit])
    whole, part = sizes // per_second, sizes % per_second
    signs = pa.array(np.where(numbers < 0, "-PT", "PT"))
    digits = len(str(_PER_SECOND[column.type.unit])) - 1
    texts = pc.binary_join_element_wise(signs, pa.array(whole).cast(pa.string()), "")
    if part.any():
        behind = pc.utf8_rtrim(pc.utf8_lpad(pa.array(part).cast(pa.string()), digits, "0"), "0")
        dotted = pc.binary_join_element_wise(texts, behind, ".")
        texts = pc.if_else(pa.array(part > 0), dotted, texts)
    texts = pc.binary_join_element_wise(texts, "S", "")
    return pc.if_else(pa.array(missing), pa.scalar(None, pa.string()), texts)


def as_seconds(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return durations of any unit in seconds, (n,) float64; null stays."""
    return pc.divide(column.cast(pa.int64()).cast(pa.float64(), safe=False), float(_PER_SECOND[column.type.unit]))
