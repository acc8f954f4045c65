"""What a strategy returns: which cell a row is in, what each cell gives, and how likely each row is."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from evenkeel.infra.compute import Compute
from evenkeel.tasks.sample.balanced.crowding import Crowds
from evenkeel.tasks.sample.balanced.structure import Cut, Probe
from evenkeel.tasks.sample.quotas.allocation import Allocation, split, water_fill
from evenkeel.tasks.sample.quotas.tree import ClusterTree
from evenkeel.tasks.sample.rows import Rows

CellsOf = Callable[[pa.Table, str], NDArray[np.int64]]
WeightsOf = Callable[[pa.Table, str], NDArray[np.float64]]
Order = Literal["hash", "closest", "furthest", "score", "diverse"]


@dataclass(frozen=True)
class Limits:
    """The bounds that every strategy keeps: repeats of a row, and the least and most rows of a cluster."""

    max_repeats: int = 1
    floor: int = 0
    cap: int | None = None

    def caps(self, sizes: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the most that cells of these sizes can give, (n,) int64."""
        most = sizes.astype(np.int64) * self.max_repeats
        return most if self.cap is None else np.minimum(most, self.cap)

    def floors(self, sizes: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the least that cells of these sizes give, (n,) int64."""
        return np.minimum(sizes, self.floor)


@dataclass(frozen=True)
class Candidates:
    """What a strategy chooses from.

    target: how many rows. structure: gives the probe of so many rows and the cuts that rules are measured on. crowds:
    gives the crowding of the leaves.
    """

    rows: Rows
    tree: ClusterTree
    target: int
    seed: int
    limits: Limits = field(default_factory=Limits)
    compute: Compute = field(default_factory=Compute)
    structure: Callable[[int], tuple[Probe, list[Cut]]] | None = None
    crowds: Callable[[], Crowds] = dict

    def fill(self, weights: NDArray[np.float64] | None = None, sizes: NDArray[np.int64] | None = None) -> Allocation:
        """Water-fill the target over the leaves, or over cells of these sizes."""
        sizes = self.tree.sizes if sizes is None else sizes
        return water_fill(
            self.limits.caps(sizes), self.target, weights=weights, floors=self.limits.floors(sizes), seed=self.seed
        )

    def descend(self, weights: list[NDArray[np.float64] | None] | None = None) -> Allocation:
        """Split the target at the top of the tree and again inside every cluster."""
        sizes = self.tree.sizes
        return split(
            self.tree,
            self.limits.caps(sizes),
            self.target,
            weights=weights,
            floors=self.limits.floors(sizes),
            seed=self.seed,
        )


@dataclass(frozen=True)
class Plan:
    """How rows are drawn: in every cell, the quota's worth of rows, likelier by weight.

    allocation: quotas and expected shares per cell. sizes: (cells,) int64. cells_of: the cell of each row, (n,) int64,
    given a table of `Rows` and its block; None = its leaf. weights_of: relative chances inside a cell, (n,) float64 >=
    0; None = equal. columns: what these two read. order: which rows of a cell come first; None = what the recipe says.
    facts: what was chosen and why, for people. candidates: one row per rule that was measured.
    """

    allocation: Allocation
    sizes: NDArray[np.int64]
    cells_of: CellsOf | None = None
    weights_of: WeightsOf | None = None
    columns: Sequence[str] = ()
    order: Order | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    candidates: list[dict[str, Any]] = field(default_factory=list)

    def leaf_shares(self, candidates: Candidates) -> NDArray[np.float64]:
        """Return the rows that each leaf is expected to give, (k1,) float64."""
        if self.cells_of is None:
            return self.allocation.shares
        shares = np.zeros(candidates.tree.leaves)
        rate = self.allocation.shares / np.maximum(1, self.sizes)
        for block in candidates.rows.blocks:
            table = candidates.rows.table(block, self.columns)
            rates = rate[self.cells_of(table, block)]
            if self.weights_of is not None:
                weights = self.weights_of(table, block)
                rates = rates * weights / max(1e-300, float(weights.mean()))
            shares += np.bincount(table["leaf"].to_numpy(), rates, len(shares))
        return shares
