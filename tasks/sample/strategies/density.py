"""Draw rows with chances in inverse proportion to density, estimated by a locality-sensitive hash sketch.

Sources: inverse-propensity sampling of Coleman et al. (arXiv 2402.09668) with the sketch of RACE (Coleman and
Shrivastava, arXiv 1912.02283): a hash is `concat` p-stable hashes floor((w.x + b) / width) joined, so that its kernel
is their collision probability to that power; with a single one the estimate is nearly flat in many dimensions. Pass 1
counts rows in buckets; pass 2 takes a row's density as its mean count, less the rows that share a bucket by chance. The
sketch of a pool is the sum of the sketches of its blocks. The width is twice the median distance of a row to its
nearest neighbour in a sample, which measures best on labelled pools together with six hashes joined.
"""

import operator
from dataclasses import dataclass
from functools import partial
from typing import ClassVar, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import Field

from evenkeel.expectations.goals import Goal
from evenkeel.infra.compute import Compute
from evenkeel.tasks.sample.blocks import SharedArray
from evenkeel.tasks.sample.candidates import CandidateRows
from evenkeel.tasks.sample.draw_plan import Draw, DrawPlan
from evenkeel.tasks.sample.locality import HashFunctions, nearest_distance
from evenkeel.tasks.sample.pool_sample import sample_vectors
from evenkeel.tasks.sample.problem import SamplingProblem
from evenkeel.tasks.sample.strategy import CAP, FLOOR, Strategy
from evenkeel.tasks.sample.weighted_plan import weighted_plan

SEED = 0x6465_6E73
SAMPLE_ROWS = 2048
WIDTHS = 2.0

Vectors = NDArray[np.float32]


@dataclass(frozen=True)
class InverseDensity:
    """The weight of a row: 1 / the number of rows around it, at least 1.

    pool: rows in the sketch. Of these, pool / buckets share a bucket with any row by chance.
    """

    rows: CandidateRows
    hashes: HashFunctions
    sketch: SharedArray
    pool: int

    def __call__(self, table: pa.Table, block: str) -> NDArray[np.float64]:
        """Return the weights of the rows of a block, (n,) float64."""
        sketch, buckets = self.sketch.read(), self.hashes.buckets
        vectors = self.rows.vectors(block, table["row_id"].to_numpy())
        total = np.zeros(len(vectors))
        for number, slots in enumerate(self.hashes.of(vectors)):
            total += sketch[number, slots]
        others = (total / self.hashes.count - 1.0 - (self.pool - 1) / buckets) / (1.0 - 1.0 / buckets)
        weights: NDArray[np.float64] = 1.0 / (1.0 + np.maximum(others, 0.0))
        return weights


class Density(Strategy):
    """Chances in inverse proportion to the density of rows, estimated by a mergeable hash sketch."""

    obeys: ClassVar[frozenset[str]] = frozenset({FLOOR, CAP})
    goal: ClassVar[Goal] = "weights"

    name: Literal["density"] = "density"
    hashes: int = Field(64, ge=8, le=2000, description="Hash functions of the sketch.")
    concat: int = Field(
        6,
        ge=1,
        le=16,
        description="Simple hashes joined to one: more make the density more local, and noisier.",
    )
    buckets: int = Field(16384, ge=64, le=1 << 20, description="Counters per hash function.")
    width: float = Field(
        0.0,
        ge=0,
        description="Width of a hash bucket in the units of the vectors; 0 = twice the median distance of a row to its "
        "nearest neighbour in a sample.",
    )
    draw: Draw = Field("poisson", description="How the weights are read, as in the strategy weighted.")

    def obeyed(self) -> frozenset[str]:
        """Return what the rule keeps: the largest weights of the whole pool know no leaves."""
        return frozenset() if self.draw == "top" else self.obeys

    def plan(self, problem: SamplingProblem) -> DrawPlan:
        """Return weights in inverse proportion to density."""
        rows = problem.rows
        sample = sample_vectors(rows, SAMPLE_ROWS, problem.tree.rows, SEED + problem.seed, problem.compute)
        width = self.width or WIDTHS * nearest_distance(sample) or 1.0
        centre = sample.mean(axis=0) if len(sample) else np.zeros(1, np.float32)
        hashes = HashFunctions(centre, self.hashes, self.concat, self.buckets, width, problem.seed)
        sketch = SharedArray.of(count_rows(rows, hashes, problem.compute), problem.folder, problem.scratch)
        weights = InverseDensity(rows, hashes, sketch, problem.tree.rows)
        return weighted_plan(problem, weights, draw=self.draw, facts={"width": width})


def count_rows(rows: CandidateRows, hashes: HashFunctions, compute: Compute) -> NDArray[np.int64]:
    """Return the sketch of all rows, (count, buckets) int64; blocks are added in pairs on the workers."""
    sketch = compute.reduce(
        partial(_sketch, rows=rows, hashes=hashes), operator.iadd, rows.blocks, work=rows.pool.rows * 400
    )
    return np.zeros((hashes.count, hashes.buckets), np.int64) if sketch is None else sketch


def _sketch(block: str, rows: CandidateRows, hashes: HashFunctions) -> NDArray[np.int64]:
    return hashes.count_rows(rows.vectors(block, rows.table(block)["row_id"].to_numpy()))
