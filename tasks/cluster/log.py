"""The log of a clustering: what every iteration of every level did."""

import time
from typing import NotRequired, TypedDict

from evenkeel.tasks.kmeans.options import Iteration


class LogEntry(TypedDict):
    """One iteration of a level.

    group: in a level that is split. round: of resampling, or the number of a start. moved: rows that changed cluster.
    reseeded: centroids that were put elsewhere, empty ones among them. seconds: since the fit began.
    """

    level: int
    group: NotRequired[int]
    round: int
    iteration: int
    inertia: float
    moved: int
    reseeded: int
    seconds: float


class IterationLog:
    """What the iterations of a level, or of one group of a level that is split, have done so far."""

    def __init__(self, level: int = 1, group: int | None = None) -> None:
        self.level, self.group = level, group
        self.entries: list[LogEntry] = []
        self.started = time.monotonic()

    def __call__(self, turn: int, iteration: Iteration) -> LogEntry:
        """Add an iteration of round `turn`; return its entry."""
        entry: LogEntry = {
            "level": self.level,
            "round": turn,
            "iteration": iteration.number,
            "inertia": iteration.inertia,
            "moved": iteration.rows_moved,
            "reseeded": iteration.centroids_moved,
            "seconds": round(time.monotonic() - self.started, 3),
        }
        if self.group is not None:
            entry["group"] = self.group
        self.entries.append(entry)
        return entry
