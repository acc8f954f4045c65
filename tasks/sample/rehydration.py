"""Repeat rows by the size of their duplicate groups."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

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
    def of(cls, config: Rehydration | None, dedup: StepRef) -> "Rehydrator | None":
        """Return what a recipe asks for, None where it asks for nothing."""
        if config is None:
            return None
        table = config.table
        if config.removed:
            sizes = np.array(sorted(config.removed))
            table = rehydration_table(sizes, np.array([config.removed[int(size)] for size in sizes]), config.max_copies)
        return cls(Duplicates.open(dedup), table)

    def copies(self, row_ids: NDArray[np.uint64]) -> NDArray[np.int32]:
        """Return how often each of some kept rows comes, (n,) int32."""
        return rehydrate(self.duplicates.sizes(row_ids), self.table)
