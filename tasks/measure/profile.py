"""The profile: small tables of the balance of a version and of its rows by disposition."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from evenkeel.infra import storage
from evenkeel.infra.arrays import read_array
from evenkeel.infra.tables import read_table
from evenkeel.infra.workspace import StepRef

TABLES = ("clusters", "groups", "totals", "balance")
SIGNALS = ("signals", "signal_bins", "signal_bounds")
SOMETIMES = (
    "tags",
    "tag_totals",
    "joint",
    "distances",
    "sums",
    *SIGNALS,
    "dependencies",
    "uniques",
    "near_misses",
)  # where the recipe has them, or a gate asks


class Profile:
    """Read access to a finished profile; the tables are pandas frames, read when asked for."""

    def __init__(self, uri: str) -> None:
        self.uri = uri

    @classmethod
    def open(cls, ref: StepRef | str) -> "Profile":
        """Open the profile that a measure step left, given its reference or the URI of its folder."""
        return cls(ref if isinstance(ref, str) else ref.uri)

    def table(self, name: str) -> pd.DataFrame:
        """Return the table `clusters`, `groups`, `totals` or `balance`."""
        frame: pd.DataFrame = read_table(storage.join(self.uri, f"{name}.parquet")).to_pandas()
        return frame

    def held(self, group: str) -> set[str]:
        """Return the values of a group column that rows of the version have."""
        rows = self.groups
        return set(rows[(rows["group"] == group) & (rows["after"] > 0)]["value"].astype(str))

    def records(self, name: str) -> list[dict[str, object]]:
        """Return a table as plain rows, column by name."""
        return [{str(column): value for column, value in row.items()} for row in self.table(name).to_dict("records")]

    @property
    def clusters(self) -> pd.DataFrame:
        """One row per cluster and level: level, cluster, parent, before, after, their shares, radius, duplicates."""
        return self.table("clusters")

    @property
    def groups(self) -> pd.DataFrame:
        """One row per group column and value: group, value, before, after, share_before, share_after."""
        return self.table("groups")

    @property
    def totals(self) -> pd.DataFrame:
        """One row: rows by disposition, tokens, balance before and after, churn against the last version."""
        return self.table("totals")

    @property
    def balance(self) -> pd.DataFrame:
        """One row per scope (level-1 .., group.<name>) and stage (before, after, random, flat, top-down, previous)."""
        return self.table("balance")

    @property
    def tags(self) -> pd.DataFrame:
        """Tags by rank: signal, rank, tag, before, after, ranked_after; no rows where nothing has tags."""
        return self._if_there("tags")

    @property
    def tag_totals(self) -> pd.DataFrame:
        """One row per signal that is tags: how many, matches, rows, entries asked for and never seen, examples."""
        return self._if_there("tag_totals")

    @property
    def joint(self) -> pd.DataFrame:
        """Rows of attributes inside concepts: scope, given, concept, attribute, before, after; for gates that ask."""
        return self._if_there("joint")

    @property
    def distances(self) -> pd.DataFrame:
        """Distances of the version and its pool: to, by, pool, random, after, bound."""
        return self._if_there("distances")

    @property
    def sums(self) -> pd.DataFrame:
        """The sums over the version's vectors, by which the next version is compared: name, value."""
        return self._if_there("sums")

    @property
    def signals(self) -> pd.DataFrame:
        """Numbers of signals and scores: signal, stage, rows, missing, least, median, mean, greatest."""
        return self._if_there("signals")

    @property
    def signal_bins(self) -> pd.DataFrame:
        """Histograms of signals and scores: signal, low, high, and the share of rows before and after."""
        return self._if_there("signal_bins")

    @property
    def signal_bounds(self) -> pd.DataFrame:
        """What gates ask of signals: name, by, value, below, above, and counts of the version and of the pool."""
        return self._if_there("signal_bounds")

    @property
    def dependencies(self) -> pd.DataFrame:
        """Approximate functional dependencies between columns: left, right, error; where the recipe asks."""
        return self._if_there("dependencies")

    @property
    def uniques(self) -> pd.DataFrame:
        """Sets of columns that tell the rows apart: columns, repeated (rows); where the recipe asks."""
        return self._if_there("uniques")

    @property
    def near_misses(self) -> pd.DataFrame:
        """Values one edit away from a far commoner one: column, value, rows, near, near_rows; where the recipe asks."""
        return self._if_there("near_misses")

    def files(self) -> list[str]:
        """Return the names of the files of the profile."""
        there = [name for name in SOMETIMES if storage.exists(storage.join(self.uri, f"{name}.parquet"))]
        return [*(f"{table}.parquet" for table in (*TABLES, *there)), "sketch.npy"]

    def _if_there(self, name: str) -> pd.DataFrame:
        return self.table(name) if f"{name}.parquet" in self.files() else pd.DataFrame()

    def sketch(self) -> NDArray[np.uint64]:
        """Return the sketch of the kept rows, ascending uint64; see `evenkeel.tasks.measure.churn`."""
        return read_array(storage.join(self.uri, "sketch.npy"))
