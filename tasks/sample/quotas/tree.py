"""The tree of clusters that quotas are allocated over."""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from evenkeel.tasks.cluster.hierarchy import Hierarchy


@dataclass(frozen=True)
class ClusterTree:
    """Sizes and parents of a hierarchy; level 1 (index 0) is the finest.

    sizes: (k1,) int64 rows per leaf. parents: for each level but the top, (k_t,) int32 index at the level above.
    radii: (k1,) float32 root mean squared distance of a leaf's rows to its centroid. centroids: (k1, d) float32.
    """

    sizes: NDArray[np.int64]
    parents: tuple[NDArray[np.int32], ...] = ()
    radii: NDArray[np.float32] | None = None
    centroids: NDArray[np.float32] | None = None

    @property
    def leaves(self) -> int:
        """Return the number of leaves."""
        return len(self.sizes)

    @property
    def rows(self) -> int:
        """Return the number of rows below the tree."""
        return int(self.sizes.sum())

    @property
    def depth(self) -> int:
        """Return the number of levels."""
        return len(self.parents) + 1

    @cached_property
    def widths(self) -> tuple[int, ...]:
        """Return the number of clusters of every level, finest first."""
        above = [len(parents) for parents in self.parents[1:]]
        top = [int(self.parents[-1].max(initial=-1)) + 1] if self.parents else []
        return (self.leaves, *above, *top)

    def ancestors(self, level: int) -> NDArray[np.int64]:
        """Return the cluster at `level` (1 = the leaf itself) of every leaf, (k1,) int64."""
        path = np.arange(self.leaves, dtype=np.int64)
        for parents in self.parents[: level - 1]:
            path = parents[path].astype(np.int64)
        return path

    def lift(self, leaf_values: NDArray[np.int64], level: int) -> NDArray[np.int64]:
        """Return the sums of leaf values per cluster of `level`, (k_level,) int64."""
        sums = np.bincount(self.ancestors(level), weights=leaf_values, minlength=self.widths[level - 1])
        return np.rint(sums).astype(np.int64)


def tree_of(hierarchy: "Hierarchy") -> ClusterTree:
    """Return the tree that quotas are allocated over."""
    finest = hierarchy.levels[0]
    parents = tuple(level.parents for level in hierarchy.levels[:-1])
    return ClusterTree(finest.counts, parents, finest.radii, finest.centroids)
