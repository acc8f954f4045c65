"""Levels: how many clusters each gets where the recipe names none."""

ROWS_PER_LEAF = 30
MAX_LEAVES = 10_000_000
FAN_IN = 10
TOP = 10


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
