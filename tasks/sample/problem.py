"""What a strategy is given: candidate rows, the cluster tree, a target and the limits on quotas."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from evenkeel.infra.compute import Compute
from evenkeel.infra.workspace import StepRef
from evenkeel.tasks.sample.candidates import CandidateRows
from evenkeel.tasks.sample.quotas.allocation import Allocation, split, water_fill
from evenkeel.tasks.sample.quotas.tree import ClusterTree

KernelDensities = Mapping[float, NDArray[np.float32]]


class ImbalanceMeasure(Protocol):
    """Measures how unevenly a selection spreads over cells that the clustering did not make."""

    def weights(self, shares: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the rows that each row of the probe represents where leaves give these shares, (m,) float64."""

    def imbalance(self, weights: NDArray[np.float64]) -> float:
        """Return the imbalance of such weights, from 0 (even) to 1."""

    def summary(self) -> list[dict[str, float]]:
        """Return numbers about the cells, as JSON."""


@dataclass(frozen=True)
class QuotaLimits:
    """The limits that every strategy keeps: copies of a row, and the fewest and most rows of a cluster."""

    max_repeats: int = 1
    floor: int = 0
    cap: int | None = None

    def caps(self, sizes: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return how many rows cells of these sizes may give at most, (n,) int64."""
        caps = sizes.astype(np.int64) * self.max_repeats
        return caps if self.cap is None else np.minimum(caps, self.cap)

    def floors(self, sizes: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return how many rows cells of these sizes give at least, (n,) int64."""
        return np.minimum(sizes, self.floor)


@dataclass(frozen=True)
class SamplingProblem:
    """The rows to choose from, how many to choose, and within which limits.

    target: how many rows. For strategies that ask for them, partitions: the measure that rules are compared by, None
    where the pool has no stable cells; agreement: how well its halves agree on cells where they agree most, None where
    they make none, as of a handful of rows; reference: how well those of a cloud without clusters do, None where the
    data's agree well; densities: the kernel density of the leaves by bandwidth; tag_counts: the step that counted tags.
    folder: where a strategy may leave arrays for the workers until the rows are drawn, with
    `scratch` on each worker.
    """

    rows: CandidateRows
    tree: ClusterTree
    target: int
    seed: int
    limits: QuotaLimits = field(default_factory=QuotaLimits)
    compute: Compute = field(default_factory=Compute)
    partitions: ImbalanceMeasure | None = None
    agreement: float | None = None
    reference: float | None = None
    densities: KernelDensities = field(default_factory=dict)
    folder: str = ""
    scratch: str = ""
    tag_counts: StepRef | None = None

    def fill(self, weights: NDArray[np.float64] | None = None, sizes: NDArray[np.int64] | None = None) -> Allocation:
        """Water-fill the target over the leaves, or over cells of these sizes, which floor and cap leave free."""
        if sizes is not None:
            return water_fill(sizes * self.limits.max_repeats, self.target, weights=weights, seed=self.seed)
        sizes = self.tree.sizes
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
