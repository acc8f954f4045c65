"""Draw rows with weights in inverse proportion to density, estimated by a locality-sensitive hash sketch.

Source: inverse-propensity sampling of Coleman et al. (arXiv 2402.09668). Pass 1 counts rows in hash buckets
floor((w.x + b) / width) mod buckets; pass 2 takes a row's density as its mean count. Rows are drawn without replacement
in proportion to 1 / density (Gumbel top-B). The sketch of a pool is the sum of the sketches of its blocks.
"""

from dataclasses import dataclass
from functools import cached_property, partial
from typing import ClassVar, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import Field

from evenkeel.expectations.goals import Goal
from evenkeel.tasks.sample.candidates import CandidateRows
from evenkeel.tasks.sample.draw_plan import DrawPlan, one_cell_plan
from evenkeel.tasks.sample.problem import SamplingProblem
from evenkeel.tasks.sample.strategy import Strategy


@dataclass(frozen=True)
class HashFunctions:
    """p-stable hash functions of vectors (Datar et al. 2004)."""

    dimension: int
    count: int
    buckets: int
    width: float
    seed: int

    @cached_property
    def _parts(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        rng = np.random.default_rng(self.seed)
        directions = rng.standard_normal((self.dimension, self.count)).astype(np.float32)
        return directions, rng.uniform(0, self.width, self.count).astype(np.float32)

    def of(self, vectors: NDArray[np.float32]) -> NDArray[np.int64]:
        """Return the bucket of every vector under every hash, (n, count) int64."""
        directions, offsets = self._parts
        slots: NDArray[np.int64] = np.floor((vectors @ directions + offsets) / self.width).astype(np.int64)
        return slots % self.buckets

    def count_rows(self, vectors: NDArray[np.float32]) -> NDArray[np.int64]:
        """Return the sketch of some rows, (count, buckets) int64; sketches of parts add up."""
        found = self.of(vectors)
        return np.stack([np.bincount(column, minlength=self.buckets) for column in found.T])


@dataclass(frozen=True)
class InverseDensity:
    """The weight of a row: 1 / the mean count of its buckets."""

    rows: CandidateRows
    hashes: HashFunctions
    sketch: NDArray[np.int64]

    def __call__(self, table: pa.Table, block: str) -> NDArray[np.float64]:
        """Return the weights of the rows of a block, (n,) float64."""
        found = self.hashes.of(self.rows.vectors(block, table["row_id"].to_numpy()))
        density = self.sketch[np.arange(self.hashes.count), found].mean(axis=1)
        weights: NDArray[np.float64] = 1.0 / np.maximum(1.0, density)
        return weights


class Density(Strategy):
    """Weights in inverse proportion to the density of rows, estimated by a mergeable hash sketch."""

    obeys: ClassVar[frozenset[str]] = frozenset()
    goal: ClassVar[Goal] = "weights"

    name: Literal["density"] = "density"
    hashes: int = Field(128, ge=8, le=2000, description="Hash functions of the sketch.")
    buckets: int = Field(16384, ge=64, le=1 << 20, description="Counters per hash function.")
    width: float = Field(
        0.0, ge=0, description="Width of a hash bucket in the units of the vectors; 0 = the median radius of a leaf."
    )

    def plan(self, problem: SamplingProblem) -> DrawPlan:
        """Return one cell with weights in inverse proportion to density."""
        tree, rows = problem.tree, problem.rows
        radii = np.ones(1) if tree.radii is None else tree.radii[tree.radii > 0]
        width = self.width or (float(np.median(radii)) if len(radii) else 1.0)
        dimension = 1 if tree.centroids is None else tree.centroids.shape[1]
        hashes = HashFunctions(dimension, self.hashes, self.buckets, width, problem.seed)
        sketch = sum(
            problem.compute.map(partial(_sketch, rows=rows, hashes=hashes), rows.blocks, work=rows.pool.rows * 400)
        )
        weights = InverseDensity(rows, hashes, np.asarray(sketch))
        return one_cell_plan(problem, tree.rows, weights, facts={"width": width})


def _sketch(block: str, rows: CandidateRows, hashes: HashFunctions) -> NDArray[np.int64]:
    return hashes.count_rows(rows.vectors(block, rows.table(block)["row_id"].to_numpy()))
