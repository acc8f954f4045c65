"""Repeat rows by the size of their duplicate groups."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evenkeel.infra.errors import StepError
from evenkeel.infra.workspace import StepRef
from evenkeel.tasks.dedup.duplicates import Duplicates
from evenkeel.tasks.dedup.rehydrate import rehydrate, rehydration_table
from evenkeel.tasks.sample.config import Rehydration


@dataclass(frozen=True)
class Rehydrator:
    """Copies of kept rows by the size of their duplicate group; small, sent to workers."""

    duplicates: Duplicates
    table: Mapping[int, int]

    @classmethod
    def of(cls, config: Rehydration | None, dedup: StepRef, kept: int) -> "Rehydrator | None":
        """Return what a recipe asks for, None where it asks for nothing. kept: how many rows deduplication left."""
        if config is None:
            return None
        duplicates, table = Duplicates.open(dedup), config.table
        if config.removed == "auto":
            table = _by_filters(dedup, config.max_copies)
        elif config.removed:
            sizes = np.array(sorted(config.removed))
            removed = np.array([config.removed[int(size)] for size in sizes])
            table = rehydration_table(sizes, removed, rows_by_size(duplicates, kept, sizes), config.max_copies)
        return cls(duplicates, table)

    def copies(self, row_ids: NDArray[np.uint64]) -> NDArray[np.int32]:
        """Return how often each of some kept rows comes, (n,) int32."""
        return rehydrate(self.duplicates.sizes(row_ids), self.table)


def _by_filters(dedup: StepRef, max_copies: int) -> dict[int, int]:
    """Return the table that follows from what filters removed of each group size, as they counted it."""
    counted: dict[str, list[int]] = dedup.facts.get("sizes", {})
    if not counted:
        raise StepError(
            "removal rates by group size are asked for, and no filter counted them",
            expected="the output of a filter after deduplication in place of dedup's",
            found=dedup.step,
        )
    sizes = np.array(sorted(map(int, counted)))
    rows, removed = np.array([counted[str(size)] for size in sizes]).T
    return rehydration_table(sizes, removed / np.maximum(rows, 1), rows, max_copies)


def rows_by_size(duplicates: Duplicates, kept: int, sizes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the kept rows whose duplicate group has each of some ascending sizes, or up to the next, (m,) int64.

    kept: all kept rows; those that represent no others are groups of one. Groups below the first size are not counted.
    """
    groups = duplicates.groups()["size"].to_numpy()
    place = np.searchsorted(sizes, groups, side="right")
    rows = np.bincount(place, minlength=len(sizes) + 1)
    rows[np.searchsorted(sizes, 1, side="right")] += kept - len(groups)
    return rows[1:].astype(np.int64)
