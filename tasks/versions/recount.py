"""The profile of a version that was made by leaving rows out of another: counted anew from its own data files."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from evenkeel.expectations.measures import balance
from evenkeel.infra import storage
from evenkeel.infra.arrays import write_array
from evenkeel.infra.tables import read_table, write_table
from evenkeel.infra.workspace import StepRef
from evenkeel.tasks.ingest.columns import conform, hash_and_count
from evenkeel.tasks.measure.churn import retained, sketch, smallest
from evenkeel.tasks.measure.config import MeasureConfig, SignalCount
from evenkeel.tasks.measure.dispositions import DispositionCounts
from evenkeel.tasks.measure.profile import Profile
from evenkeel.tasks.measure.survey import Survey
from evenkeel.tasks.measure.tables import GROUPS, total_row
from evenkeel.tasks.publish.manifest import Staged
from evenkeel.tasks.versions.as_steps import group_values, signal_groups
from evenkeel.tasks.versions.recount_signals import recount_signals

MADE_HERE = ("before", "after")
Key = TypeVar("Key")


@dataclass
class Count:
    """Rows by cluster of every level and by value of every group column.

    clusters: level -> rows, with copies counted where `copies` says so. groups: (column, value) -> the same.
    """

    copies: bool
    rows: int = 0
    tokens: int = 0
    clusters: dict[int, dict[int, int]] = field(default_factory=dict)
    groups: dict[tuple[str, str], int] = field(default_factory=dict)

    def add(self, rows: pa.Table, staged: Staged, text: str | None) -> None:
        """Count some published rows."""
        weights = rows["ek_copies"].to_numpy() if self.copies else np.ones(rows.num_rows, np.int64)
        self.rows += int(weights.sum())
        for level in range(1, staged.levels + 1):
            _add(self.clusters.setdefault(level, {}), rows[f"ek_cluster_{level}"].to_numpy().tolist(), weights)
        for name, column in {**{name: name for name in staged.groups}, **signal_groups(staged)}.items():
            _add(self.groups, [(name, value) for value in group_values(rows, column).to_pylist()], weights)
        if text is not None:
            _, words = hash_and_count(conform(rows[text], pa.string()))
            self.tokens += int((words.to_numpy().astype(np.int64) * weights).sum())


def _add(counts: dict[Key, int], keys: list[Key], weights: NDArray[np.int64]) -> None:
    for key, weight in zip(keys, weights.tolist(), strict=True):
        counts[key] = counts.get(key, 0) + weight


def recount(
    staged: Staged, gone: Count, before: Profile, text: str | None, folder: str, asked: Sequence[SignalCount] = ()
) -> StepRef:
    """Write the profile of a version to `folder` and return it as the measure step would.

    staged: the version's files. gone: the rows that were left out, each once. before: the profile of the version that
    they were left out of. text: the column of texts, None where the version holds none; the tokens are then those of
    `before` in proportion to the rows. The balance of the baselines is that of `before`. asked: what gates ask of
    signals.
    """
    kept, hashes, size = Count(copies=True), np.empty(0, np.uint64), MeasureConfig().sketch_rows
    for entry in staged.data:
        rows = read_table(storage.join(staged.folder, entry.path))
        kept.add(rows, staged, text)
        identity = rows["ek_identity"].to_numpy().view(np.uint64)
        hashes = smallest(np.concatenate([hashes, sketch(identity, size)]), size)
    clusters, groups = _clusters(before.clusters, kept, gone), _groups(before.groups, kept, gone)
    balances = _balances(before.balance, clusters, groups)
    totals = total_row(_survey(staged, before.totals, kept, gone, text), kept.rows, balances)
    totals["retained"] = retained(before.sketch(), hashes, size)
    totals["churn"] = 1.0 - totals["retained"]
    write_array(storage.join(folder, "sketch.npy"), hashes)
    write_table(storage.join(folder, "clusters.parquet"), pa.Table.from_pandas(clusters, preserve_index=False))
    groups_table = pa.Table.from_pandas(groups, schema=GROUPS, preserve_index=False)
    write_table(storage.join(folder, "groups.parquet"), groups_table)
    write_table(storage.join(folder, "balance.parquet"), balances)
    write_table(storage.join(folder, "totals.parquet"), pa.Table.from_pylist([totals]))
    for name, table in recount_signals(staged, before, list(asked)).items():
        write_table(storage.join(folder, f"{name}.parquet"), pa.Table.from_pandas(table, preserve_index=False))
    facts = {name: value for name, value in totals.items() if isinstance(value, float) and np.isfinite(value)}
    counts = {name: value for name, value in totals.items() if isinstance(value, int)}
    return StepRef(step="measure", key=f"recount-{staged.run}", uri=folder, counts=counts, facts=facts)


def _survey(staged: Staged, before: pd.DataFrame, kept: Count, gone: Count, text: str | None) -> Survey:
    last = before.iloc[0]
    names = ("kept", "deduplicated", "filtered", "not_sampled", "quarantined")
    rows = DispositionCounts(**{name: staged.counts.get(name, 0) for name in names})
    rows.check(staged.counts["read"])
    share = kept.rows / max(int(last["copies"]), 1)
    return Survey(
        dispositions=rows,
        tokens_before=int(last["tokens_before"]) - gone.tokens,
        tokens_after=kept.tokens if text is not None else round(int(last["tokens_after"]) * share),
    )


def _clusters(last: pd.DataFrame, kept: Count, gone: Count) -> pd.DataFrame:
    keys = list(zip(last["level"].tolist(), last["cluster"].tolist(), strict=True))
    after = np.array([kept.clusters.get(level, {}).get(cluster, 0) for level, cluster in keys], np.int64)
    left = np.array([gone.clusters.get(level, {}).get(cluster, 0) for level, cluster in keys], np.int64)
    rows = last.assign(before=last["before"].to_numpy() - left, after=after)
    rate, there = last["near_duplicate_rate"].to_numpy(np.float64), last["before"].to_numpy(np.float64)
    duplicates = np.where(rate < 1, rate * there / np.maximum(1 - rate, 1e-12), rate)
    rows["near_duplicate_rate"] = duplicates / np.maximum(1, rows["before"].to_numpy() + duplicates)
    return _with_shares(rows, "level")


def _groups(last: pd.DataFrame, kept: Count, gone: Count) -> pd.DataFrame:
    keys = list(zip(last["group"].tolist(), last["value"].tolist(), strict=True))
    after = np.array([kept.groups.get(key, 0) for key in keys], np.int64)
    left = np.array([gone.groups.get(key, 0) for key in keys], np.int64)
    return _with_shares(last.assign(before=last["before"].to_numpy() - left, after=after), "group")


def _with_shares(rows: pd.DataFrame, scope: str) -> pd.DataFrame:
    """Return a table with its shares of the rows in their scope, which is a level or a group column."""
    for stage in MADE_HERE:
        whole = rows.groupby(scope)[stage].transform("sum")
        rows[f"share_{stage}"] = rows[stage] / np.maximum(whole, 1)
    return rows


def _balances(last: pd.DataFrame, clusters: pd.DataFrame, groups: pd.DataFrame) -> pa.Table:
    counts = {f"level-{level}": rows for level, rows in clusters.groupby("level")}
    counts |= {f"group.{group}": rows for group, rows in groups.groupby("group")}
    lines, previous = [], []
    for line in last[last["stage"] != "previous"].to_dict("records"):
        named = {str(name): value for name, value in line.items()}
        if line["stage"] == "after":
            previous.append({**named, "stage": "previous"})
        if line["stage"] in MADE_HERE:
            rows = counts[line["scope"]]
            named |= balance(rows[line["stage"]], rows["before"] > 0)
        lines.append(named)
    return pa.Table.from_pylist([*lines, *previous])
