"""Rehydration: rows of large duplicate groups are repeated a few times.

FineWeb2 (Penedo et al. 2025, arXiv 2506.20920): how often a text occurs is an indication of its quality, so a kept row
is repeated by the size of its group, far below that size.
"""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from evenkeel.infra.dtypes import Int32Array

TABLE: Mapping[int, int] = {1: 1, 2: 2, 3: 3, 5: 5, 100: 8, 1000: 1}


def rehydrate(sizes: npt.NDArray[np.integer], table: Mapping[int, int] = TABLE) -> Int32Array:
    """Return the copies of each kept row, (n,) int32: the table's at the largest size not above that of its group.

    table: group size -> copies; it needs an entry for 1.
    """
    steps = np.array(sorted(table))
    copies = np.array([table[int(step)] for step in steps], np.int32)
    found: Int32Array = copies[np.searchsorted(steps, sizes, side="right") - 1]
    return found


def rehydration_table(
    sizes: npt.NDArray[np.integer],
    removed: npt.NDArray[np.floating],
    rows: npt.NDArray[np.integer],
    max_copies: int = 5,
    smoothing: int = 5,
) -> dict[int, int]:
    """Return a table from the share of rows that quality filters removed at each group size.

    sizes: (m,) distinct group sizes, ascending. removed: (m,) share of each size's rows that the filters removed; the
    mean of `smoothing` sizes around one is used too. rows: (m,) rows of each size. A size whose share, its own or that
    mean, is at or above the share of all rows gets one copy, the size with the lowest mean `max_copies` (3 to 10),
    those between in proportion. Where there are no rows, sizes count alike.
    """
    half = smoothing // 2
    padded = np.pad(np.asarray(removed, float), half, mode="edge")
    smooth = np.convolve(padded, np.full(2 * half + 1, 1 / (2 * half + 1)), mode="valid")
    rate = float(np.average(removed, weights=rows if rows.any() else None))
    cleaner = (removed < rate) & (smooth < rate)
    copies = np.ones(len(smooth), np.int64)
    if cleaner.any():
        share = (smooth[cleaner] - rate) / (smooth[cleaner].min() - rate)
        copies[cleaner] = np.rint(1 + (max_copies - 1) * share).astype(np.int64)
    return {1: 1} | {int(size): int(copy) for size, copy in zip(sizes, copies, strict=True)}
