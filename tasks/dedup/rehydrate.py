"""Rehydration: representatives of large duplicate groups are kept more than once.

FineWeb2 (Penedo et al. 2025, arXiv 2506.20920): how often a text occurred says something of its worth, so a kept row is
repeated by the size of its group, far below that size.
"""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

TABLE: Mapping[int, int] = {1: 1, 2: 2, 3: 3, 5: 5, 100: 8, 1000: 1}
Ints = npt.NDArray[np.int32]


def rehydrate(sizes: npt.NDArray[np.integer], table: Mapping[int, int] = TABLE) -> Ints:
    """Return how often each kept row comes, (n,) int32: the table's copies at the largest size not above its group's.

    table: group size -> copies; it needs an entry for 1.
    """
    steps = np.array(sorted(table))
    copies = np.array([table[int(step)] for step in steps], np.int32)
    found: Ints = copies[np.searchsorted(steps, sizes, side="right") - 1]
    return found


def rehydration_table(
    sizes: npt.NDArray[np.integer], removed: npt.NDArray[np.floating], most: int = 5, smoothing: int = 5
) -> dict[int, int]:
    """Return a table from the share of rows that quality filters removed at each group size.

    sizes: (m,) distinct group sizes, ascending. removed: (m,) share of each size's rows that the filters removed; the
    mean of `smoothing` sizes around one is used. A size whose share is at or above the mean over all sizes comes once;
    the size with the lowest share comes `most` times (3 to 10), those between in proportion.
    """
    reach = smoothing // 2
    padded = np.pad(np.asarray(removed, float), reach, mode="edge")
    smooth = np.convolve(padded, np.full(2 * reach + 1, 1 / (2 * reach + 1)), mode="valid")
    rate, lowest = float(np.mean(removed)), float(smooth.min())
    share = (smooth - rate) / (lowest - rate) if lowest < rate else np.zeros(len(smooth))
    copies = np.where(smooth < rate, np.rint(1 + (most - 1) * share), 1).astype(int)
    return {1: 1} | {int(size): int(copy) for size, copy in zip(sizes, copies, strict=True)}
