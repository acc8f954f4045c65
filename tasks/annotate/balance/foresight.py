"""Which margins no weights meet, as far as the values that the source has decide it."""

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from evenkeel.tasks.annotate.balance.margins import OTHERS
from evenkeel.tasks.annotate.balance.newton import MET, Cells, balance
from evenkeel.tasks.annotate.column import Foreseen
from evenkeel.tasks.annotate.seen import Seen
from evenkeel.tasks.annotate.units import cluster_level

Margins = Mapping[str, str | float | dict[str, float]]


def unmet_margins(margins: Margins, seen: Seen) -> list[Foreseen]:
    """Return the margins of the source's own columns that cannot be met, whatever rows are kept.

    Certain where all rows were seen and no margin is `uniform` or `pool`, which go by the values of the kept rows.
    """
    found, joint = list[Foreseen](), dict[str, dict[str, float] | str]()
    for column, wanted in margins.items():
        if cluster_level(column) is not None:
            continue
        if isinstance(wanted, float):
            found += _mean(column, wanted, seen)
        elif (counted := seen.counted([column])) is not None and seen.range(column) is None:
            there = set(counted[column].to_pylist())
            lacking = _lacking(column, wanted, there, seen) if isinstance(wanted, dict) else []
            found += lacking
            if not lacking:
                joint[column] = wanted
    return found or _at_odds(joint, seen)


def _mean(column: str, mean: float, seen: Seen) -> list[Foreseen]:
    ends = seen.range(column)
    if ends is None or ends[0] <= mean <= ends[1]:
        return []
    who = "the rows have" if seen.whole else "the rows that were sampled have"
    why = f"no weights meet the margins: the mean of {column} is to be {mean:g}, and {who} {ends[0]:g} to {ends[1]:g}"
    return [Foreseen(why, "ask for a mean that rows have", "block" if seen.whole else "warn")]


def _lacking(column: str, wanted: dict[str, float], there: set[str], seen: Seen) -> list[Foreseen]:
    how: Literal["block", "warn"] = "block" if seen.whole else "warn"
    lacking = [
        Foreseen(f"no weights meet the margins: {column}={value} is to have {share:g}; {seen.among} it", REMEDY, how)
        for value, share in wanted.items()
        if share > 0 and value not in there
    ]
    total = sum(wanted.values())
    if not lacking and seen.whole and total < 1 - 1e-9 and there <= set(wanted):
        why = f"the shares of {column} sum to {total:g}, and every value that occurs is named"
        lacking.append(Foreseen(why, "let them sum to 1", how))
    return lacking


def _at_odds(joint: Mapping[str, dict[str, float] | str], seen: Seen) -> list[Foreseen]:
    """Return why margins of several columns cannot hold at once, given the combinations of values that occur."""
    if len(joint) < 2 or not seen.whole or (counted := seen.counted([*joint])) is None:
        return []
    codes, shares, names = list[np.ndarray](), list[np.ndarray](), list[Sequence[str]]()
    for column, wanted in joint.items():
        asked = _asked(wanted, counted[column], counted["rows"])
        values = sorted(asked)
        place = pc.index_in(counted[column], value_set=pa.array(values, pa.string()))
        others = values.index(OTHERS) if OTHERS in asked else 0
        codes.append(pc.fill_null(place, others).to_numpy())
        shares.append(np.array([asked[value] for value in values]) / sum(asked.values()))
        names.append([f"{column}={value}" for value in values])
    rows = counted["rows"].to_numpy().astype(np.float64)
    cells = Cells(rows, np.stack(codes, axis=1).astype(np.int32), np.zeros((len(rows), 0)))
    dual = balance(cells, shares, np.zeros(0))
    if dual.missed <= MET:
        return []
    number, value = dual.worst
    why = f"no weights meet the margins of {', '.join(joint)} at once: {names[number][value]} misses by "
    why += f"{dual.missed:.3g} when all others are met as nearly as can be"
    return [Foreseen(why, REMEDY, "block" if all(isinstance(one, dict) for one in joint.values()) else "warn")]


def _asked(wanted: dict[str, float] | str, values: pa.ChunkedArray, rows: pa.ChunkedArray) -> dict[str, float]:
    """Return the shares that are asked for, with those of the values that are not named as one."""
    if isinstance(wanted, dict):
        rest = 1.0 - sum(wanted.values())
        unnamed = set(values.to_pylist()) - set(wanted)
        return {**wanted, OTHERS: max(rest, 0.0)} if unnamed else dict(wanted)
    held = pa.table({"value": values, "rows": rows}).group_by("value", use_threads=False).aggregate([("rows", "sum")])
    counts = dict(zip(held["value"].to_pylist(), held["rows_sum"].to_pylist(), strict=True))
    return dict.fromkeys(counts, 1.0) if wanted == "uniform" else {value: float(one) for value, one in counts.items()}


REMEDY = "loosen that margin, or add such rows"
