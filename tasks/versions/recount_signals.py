"""The signals of a version that was made by leaving rows out of another, counted anew from its own data files."""

import numpy as np
import pandas as pd
import pyarrow as pa

from evenkeel.infra import storage
from evenkeel.infra.dtypes import Float64Array
from evenkeel.infra.tables import read_table
from evenkeel.tasks.measure.config import SignalCount
from evenkeel.tasks.measure.profile import Profile
from evenkeel.tasks.measure.signal_bounds import add_bounds, bound_table, count_bounds
from evenkeel.tasks.measure.signal_use import Values, shares_of
from evenkeel.tasks.publish.manifest import Staged
from evenkeel.tasks.versions.as_steps import group_values

KEYS = ["name", "by", "value", "below", "above"]


def recount_signals(staged: Staged, before: Profile, asked: list[SignalCount]) -> dict[str, pd.DataFrame]:
    """Return the tables `signals`, `signal_bins` and `signal_bounds` of a version's files; none without signals.

    before: the profile of the version that the rows were left out of, from which comes what the pool had. A signal or
    score that the files do not hold as a number is left out.
    """
    lines, bins, bounds = before.signals, before.signal_bins, before.signal_bounds
    if not len(lines):
        return {}
    pool = lines[lines["stage"] == "before"]
    around = {str(name): float(mean) for name, mean in zip(pool["signal"], pool["mean"].fillna(0.0), strict=True)}
    found: dict[str, Values] = {}
    sums = None
    for entry in staged.data:
        rows = read_table(storage.join(staged.folder, entry.path))
        copies = rows["ek_copies"].to_numpy().astype(np.int64)
        numbers = {name: values for name in around if (values := _numbers(rows, name)) is not None}
        for name, values in numbers.items():
            mine = Values.of(values, copies, np.ones(len(copies), np.bool_))
            found[name] = found[name].add(mine) if name in found else mine
        here = [one for one in asked if one.name in numbers]
        groups = {f"group.{name}": group_values(rows, name) for name in staged.groups}
        counted = count_bounds(numbers, groups, copies, here, around)
        sums = counted if sums is None else add_bounds(sums, counted)
    after = [two.line(name, "after") for name, two in found.items()]
    tables = {
        "signals": _in_order(
            pd.concat([pool[pool["signal"].isin(found)], pd.DataFrame(after, columns=lines.columns)]), list(found)
        )
    }
    tables["signal_bins"] = _in_order(pd.concat([_bins(bins, name, two) for name, two in found.items()]), list(found))
    here = [one for one in asked if one.name in found]
    if here and sums is not None and len(bounds):
        now = bound_table(sums, here, around).to_pandas()
        of_pool = [name for name in map(str, bounds.columns) if name.startswith("pool_")]
        merged = now.drop(columns=of_pool).merge(bounds[[*KEYS, *of_pool]], on=KEYS, how="left")
        tables["signal_bounds"] = merged[list(bounds.columns)]
    return tables


def _bins(bins: pd.DataFrame, name: str, values: Values) -> pd.DataFrame:
    mine = bins[bins["signal"] == name]
    edges = np.append(mine["low"].to_numpy(np.float64), mine["high"].to_numpy(np.float64)[-1:])
    return mine.assign(after=shares_of(edges, values.sample) if len(mine) else [])


def _in_order(table: pd.DataFrame, names: list[str]) -> pd.DataFrame:
    """Return the lines of a table with those of one signal together."""
    place = table["signal"].map({name: at for at, name in enumerate(names)})
    return table.iloc[np.argsort(place.to_numpy(), kind="stable")].reset_index(drop=True)


def _numbers(rows: pa.Table, name: str) -> Float64Array | None:
    """Return the numbers of a signal or score of published rows, (n,), NaN for null; None where they are not there."""
    column = next((one for one in (f"ek_signal_{name}", name) if one in rows.column_names), None)
    if column is None or not (pa.types.is_integer(rows[column].type) or pa.types.is_floating(rows[column].type)):
        return None
    numbers: Float64Array = rows[column].cast(pa.float64(), safe=False).to_numpy().astype(np.float64)
    return numbers
