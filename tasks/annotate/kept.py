"""The pool as the search of neighbours reads it, where only some of the kept rows count."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import numpy as np

from evenkeel.infra.dtypes import Float32Array, Int32Array, UInt64Array
from evenkeel.tasks.annotate.source import AnnotationSource
from evenkeel.tasks.embed.vectors import Vectors
from evenkeel.tasks.signal.source import SignalSource

RowsOf = Callable[[str], UInt64Array]


@dataclass(frozen=True)
class KeptSource(SignalSource):
    """The pool as a signal reads it, where no other rows have a leaf than those that `choose` returns of a block."""

    choose: RowsOf | None = None

    @classmethod
    def of(cls, source: AnnotationSource, choose: RowsOf) -> Self:
        """Open the pool of an annotation; choose: row ids of a block, ascending."""
        vectors = Vectors.open(source.inputs.embed, source.pool.scratch)
        return cls(source.pool, source.where, vectors, source.hierarchy(), None, choose)

    def clusters(self, block: str) -> tuple[Int32Array, Float32Array]:
        """Return the leaf of each row of a block, -1 for one that does not count, and its distance to the centroid."""
        leaf, distance = super().clusters(block)
        ids = self.pool.table(block, ["row_id"])["row_id"].to_numpy()
        counts = np.zeros(len(ids), bool)
        if self.choose is not None:
            counts[np.searchsorted(ids, self.choose(block))] = True
        return np.where(counts, leaf, -1).astype(np.int32), distance
