"""Count what gates ask of signals: means, spreads, and rows beyond a limit, of the whole version or by group."""

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from evenkeel.infra.dtypes import Float64Array, Int64Array
from evenkeel.tasks.measure.config import SignalCount

COUNTED = ("rows", "missing", "total", "squares", "beyond")
KEYS = ["asked", "value"]
SUMS = [f"{prefix}{name}" for prefix in ("pool_", "") for name in COUNTED]
SCHEMA = pa.schema([("asked", pa.int32()), ("value", pa.string()), *((name, pa.float64()) for name in SUMS)])


def count_bounds(
    numbers: Mapping[str, Float64Array],
    groups: Mapping[str, pa.ChunkedArray],
    copies: Int64Array,
    asked: Sequence[SignalCount],
    around: Mapping[str, float],
) -> pa.Table:
    """Return the sums that each question needs over some rows: one line per question and group value.

    numbers: (n,) of each signal; groups: (n,) of each column; copies: (n,) in the version; around: a number near the
    values of each signal, from which they are counted, so that squares keep their digits.
    """
    parts = [SCHEMA.empty_table()]
    for number, one in enumerate(asked):
        if one.by:
            coded = pc.fill_null(groups[one.by], "(none)").combine_chunks().dictionary_encode()
            code, values = coded.indices.to_numpy(), coded.dictionary.cast(pa.string())
        else:
            code, values = np.zeros(len(copies), np.int32), pa.array([""])
        found = numbers[one.name]
        missing = ~np.isfinite(found)
        off = np.where(missing, 0.0, found - around.get(one.name, 0.0))
        low, high = (-np.inf if one.below is None else one.below), (np.inf if one.above is None else one.above)
        beyond = ((found < low) | (found > high)) & ~missing
        terms = (np.ones(len(found)), missing, off, off**2, beyond)
        sums = [np.bincount(code, term * times, len(values)) for times in (1, copies) for term in terms]
        parts.append(pa.Table.from_arrays([pa.array([number] * len(values), pa.int32()), values, *sums], schema=SCHEMA))
    return pa.concat_tables(parts)


def add_bounds(one: pa.Table, other: pa.Table) -> pa.Table:
    """Return the sums over the rows of both."""
    both = pa.concat_tables([one, other]).group_by(KEYS, use_threads=False)
    summed = both.aggregate([(name, "sum") for name in SUMS])
    return pa.Table.from_arrays([summed[name] for name in [*KEYS, *(f"{name}_sum" for name in SUMS)]], schema=SCHEMA)


def bound_table(sums: pa.Table, asked: Sequence[SignalCount], around: Mapping[str, float]) -> pa.Table:
    """Return the table `signal_bounds`: name, by, value, below, above; rows, missing, mean, deviation, beyond.

    The last five are of the copies in the version, with the prefix `pool_` of the rows that they are drawn from.
    """
    sums = sums.sort_by([(name, "ascending") for name in KEYS])
    of = [asked[number] for number in sums["asked"].to_pylist()]
    columns: dict[str, object] = {
        "name": pa.array([one.name for one in of], pa.string()),
        "by": pa.array([one.by for one in of], pa.string()),
        "value": sums["value"],
        "below": pa.array([one.below for one in of], pa.float64()),
        "above": pa.array([one.above for one in of], pa.float64()),
    }
    centre = np.array([around.get(one.name, 0.0) for one in of])
    for prefix in ("", "pool_"):
        rows, missing, total, squares, beyond = (sums[f"{prefix}{name}"].to_numpy() for name in COUNTED)
        with np.errstate(divide="ignore", invalid="ignore"):
            off = np.where(rows > missing, total / (rows - missing), np.nan)
            spread = np.sqrt(np.maximum(squares - total * off, 0.0) / np.maximum(rows - missing - 1, 1))
        columns |= {
            f"{prefix}rows": rows.astype(np.int64),
            f"{prefix}missing": missing.astype(np.int64),
            f"{prefix}mean": centre + off,
            f"{prefix}deviation": spread,
            f"{prefix}beyond": beyond.astype(np.int64),
        }
    return pa.table(columns)
