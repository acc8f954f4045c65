"""Select the clusters of a level or the values of a group column from the table `shares`, and name the worst."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from evenkeel.expectations.expectation import MOST_OFFENDERS, NotApplicable, Offender, UnknownScope
from evenkeel.expectations.measures import Counts
from evenkeel.expectations.wording import percent

if TYPE_CHECKING:
    import pandas as pd

GROUPS, LEVELS = "groups", "levels"


def pick(shares: "pd.DataFrame", scope: str) -> "pd.DataFrame":
    """Return the rows of `shares` in `scope`. Raises UnknownScope where there are none, naming the scopes there are."""
    found = shares[shares["scope"] == scope]
    if found.empty:
        known = ", ".join(sorted({*map(str, shares["scope"].unique())} - {"cells"})) or "none at all"
        raise UnknownScope(f"{scope!r} is not in the profile; it has {known}")
    return found


def scopes(shares: "pd.DataFrame", scope: str) -> list[str]:
    """Return the scopes that `scope` names: itself, every group column for "groups", every level for "levels".

    Raises NotApplicable where "groups" finds no group column.
    """
    if scope not in (GROUPS, LEVELS):
        return [scope]
    prefix = "group." if scope == GROUPS else "level-"
    found = sorted(name for name in map(str, shares["scope"].unique()) if name.startswith(prefix))
    if not found:
        raise NotApplicable("the pool has no group columns" if scope == GROUPS else "the profile has no levels")
    return found


def counts(rows: "pd.DataFrame", column: str) -> Counts:
    """Return a column of row counts (k,) float64, missing ones as 0."""
    found: Counts = np.nan_to_num(rows[column].to_numpy(dtype=np.float64, na_value=np.nan))
    return found


def version_counts(rows: "pd.DataFrame", scope: str) -> Counts:
    """Return the counts of the version (k,). Raises NotApplicable where it has no row in this scope."""
    after = counts(rows, "after")
    if after.sum() <= 0:
        raise NotApplicable(f"the version has no rows in {scope}")
    return after


def previous_counts(rows: "pd.DataFrame", scope: str) -> Counts:
    """Return the counts of the last version (k,). Raises NotApplicable where there is none to compare with."""
    if rows["previous"].isna().all():
        raise NotApplicable(
            "there is no last version to compare with"
            if scope.startswith("group.")
            else "there is no last version with the same clusters to compare with"
        )
    return counts(rows, "previous")


def offenders_of(
    rows: "pd.DataFrame", scope: str, badness: npt.NDArray[np.float64], why: Callable[[int], str]
) -> list[Offender]:
    """Return the worst classes of `rows` by `badness` (k,), largest first; only those with badness > 0.

    why: returns the reason for row i in words.
    """
    bad = np.flatnonzero(badness > 0)
    if len(bad) > MOST_OFFENDERS:
        least = np.partition(badness[bad], len(bad) - MOST_OFFENDERS)[len(bad) - MOST_OFFENDERS]
        bad = bad[badness[bad] >= least]
    worst = bad[np.argsort(-badness[bad], kind="stable")][:MOST_OFFENDERS]
    names = rows["name"].to_numpy()
    return [Offender(scope=scope, name=str(names[i]), why=why(int(i))) for i in worst]


def share_of(part: Counts, whole: Counts, i: int) -> str:
    """Return "12 of 400 rows (3.0 %)" for class i."""
    return f"{part[i]:,.0f} of {whole.sum():,.0f} rows ({percent(part[i] / whole.sum())})"
