"""Levels: how many clusters each gets where the recipe names none."""

from collections.abc import Sequence
from typing import Literal

import numpy as np

from evenkeel.infra.dtypes import Float64Array

ROWS_PER_LEAF = 30
MAX_LEAVES = 10_000_000
FAN_IN = 10
TOP = 10
MOST_LEVELS = 8
CLEAR = 2.0  # times the height of one merge that the next has: noise comes to 1.6, or more where few clusters are left
FEWEST = 5
NEAR = FAN_IN**0.5  # a level takes the gap within this factor of its number

Levels = Sequence[int] | Literal["auto"] | None


def first_levels(levels: Levels, rows: int) -> list[int]:
    """Return clusters per level as far as the recipe and the number of rows say them, finest first."""
    return fit_levels(list(levels) if levels and levels != "auto" else derive_levels(rows), rows)


def clear_gaps(heights: Float64Array) -> dict[int, float]:
    """Return the numbers of clusters at which merges stop being cheap, with how many times as much the next one costs.

    heights: (m,) float64, of all merges of m + 1 points, ascending. A gap is clear where the merge that would leave one
    cluster less costs twice the last one, at 5 clusters to half of the points, and the largest within a factor of 3.
    """
    points = len(heights) + 1
    counts = np.arange(FEWEST, points // 2 + 1)
    dear, cheap = heights[points - counts], heights[points - counts - 1]
    rises = np.divide(dear, cheap, out=np.ones(len(counts)), where=cheap > 0)
    found: dict[int, float] = {}
    for at in np.argsort(-rises, kind="stable"):
        count, rise = int(counts[at]), float(rises[at])
        if rise < CLEAR:
            break
        if all(max(count, other) > NEAR * min(count, other) for other in found):
            found[count] = rise
    return found


def follow_gaps(levels: Sequence[int], heights: Float64Array) -> list[int]:
    """Return `levels` with those above the first at the clear gaps in the heights of their merges.

    A level within a factor of 3 of a gap moves to it; a gap near no level becomes one; other levels stay.
    """
    upper = set(levels[1:])
    for count in clear_gaps(heights):
        upper -= {level for level in upper if max(level, count) <= NEAR * min(level, count)}
        upper.add(count)
    return [levels[0], *sorted((count for count in upper if count < levels[0]), reverse=True)][:MOST_LEVELS]


def derive_levels(rows: int) -> list[int]:
    """Return clusters per level, finest first, for a pool of `rows` rows; [] for an empty pool.

    One leaf for about 30 rows, at most 10 million; every level above has a tenth, down to a top of 10 to 99. So
    100,000 rows give [3333, 333, 33]. It depends on the rows alone: another target never re-clusters.
    """
    if rows < 1:
        return []
    leaves = min(max(rows // ROWS_PER_LEAF, min(rows, TOP)), MAX_LEAVES)
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
