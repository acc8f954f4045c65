"""Levels: how many clusters each gets where the recipe names none, and what is noted while they are made."""

import time
from typing import Any

ROWS_PER_LEAF = 30
MOST_LEAVES = 10_000_000
FAN_IN = 10
TOP = 10


def derive_levels(rows: int) -> list[int]:
    """Return clusters per level, finest first, for a pool of `rows` rows; [] for an empty pool.

    One leaf for about 30 rows, at most 10 million; every level above has a tenth, down to a top of 10 to 99. So
    100,000 rows give [3333, 333, 33]. It depends on the rows alone: another target never re-clusters.
    """
    if rows < 1:
        return []
    leaves = min(max(rows // ROWS_PER_LEAF, min(rows, TOP)), MOST_LEAVES)
    levels = [leaves]
    while levels[-1] // FAN_IN >= TOP:
        levels.append(levels[-1] // FAN_IN)
    return levels


def fit_levels(levels: list[int], rows: int) -> list[int]:
    """Return `levels` bounded by the rows there are: level 1 by `rows`, every other one by the level below."""
    bounded: list[int] = []
    most = rows
    for clusters in levels:
        most = min(clusters, most)
        bounded.append(most)
    return bounded


class Log:
    """What every iteration did: round, iteration, inertia, rows moved, centroids put elsewhere, seconds; and where."""

    def __init__(self, entries: list[dict[str, Any]], **place: int) -> None:
        self.entries, self.place = entries, place
        self.started = time.monotonic()

    def __call__(self, entry: dict[str, Any]) -> None:
        """Keep one entry."""
        self.entries.append({**self.place, **entry, "seconds": round(time.monotonic() - self.started, 3)})
