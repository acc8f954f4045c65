"""Lay a grid over a plane through the data and give every occupied cell the same quota.

Source: BLAST (arXiv 2505.17871), which lays a 100 x 100 grid over a 2-D embedding. The plane here is that of the two
largest principal components of the leaves' centroids, so it follows the extent of the data and not its density.
"""

import operator
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import Field

from evenkeel.tasks.sample.candidates import CandidateRows
from evenkeel.tasks.sample.draw_plan import DrawPlan
from evenkeel.tasks.sample.problem import SamplingProblem
from evenkeel.tasks.sample.strategy import Strategy


@dataclass(frozen=True)
class Square:
    """A projection to the unit square and a grid over it.

    axes: (d, 2) float32. low, span: (2,) float32, what the square covers.
    """

    axes: NDArray[np.float32]
    low: NDArray[np.float32]
    span: NDArray[np.float32]
    side: int

    def cells(self, vectors: NDArray[np.float32]) -> NDArray[np.int64]:
        """Return the grid cell of each of (n, d) vectors, (n,) int64; beyond the square the nearest one."""
        if not len(vectors):
            return np.empty(0, np.int64)
        place = (vectors @ self.axes - self.low) / self.span * self.side
        column, row = np.clip(place, 0, self.side - 1).astype(np.int64).T
        cells: NDArray[np.int64] = column * self.side + row
        return cells


@dataclass(frozen=True)
class Plane:
    """The grid cells of the rows of a pool."""

    rows: CandidateRows
    square: Square

    def __call__(self, table: pa.Table, block: str) -> NDArray[np.int64]:
        """Return the grid cell of the rows of a block, (n,) int64."""
        return self.square.cells(self.rows.vectors(block, table["row_id"].to_numpy()))


class Grid(Strategy):
    """Project the vectors to a plane, lay a grid over it, and give every occupied cell the same quota."""

    name: Literal["grid"] = "grid"
    side: int = Field(100, ge=2, le=4096, description="Cells along each side of the grid.")

    def plan(self, problem: SamplingProblem) -> DrawPlan:
        """Return equal quotas over the occupied grid cells."""
        rows = problem.rows
        assert problem.tree.centroids is not None
        plane = Plane(rows, principal_square(problem.tree.centroids, self.side))
        counted = problem.compute.reduce(
            partial(_count, plane=plane), operator.iadd, rows.blocks, work=rows.pool.rows * 400
        )
        sizes = np.zeros(self.side**2, np.int64) if counted is None else counted
        return DrawPlan(
            problem.fill(sizes=sizes),
            sizes,
            cells_of=plane,
            facts={"occupied": int((sizes > 0).sum()), "side": self.side},
        )


def principal_square(centroids: NDArray[np.float32], side: int) -> Square:
    """Return the plane of the two largest principal components of (k, d) centroids, with the grid that covers them."""
    centred = centroids - centroids.mean(axis=0)
    axes = np.linalg.svd(centred[:20_000], full_matrices=False)[2][:2].T
    axes = np.pad(axes, ((0, 0), (0, 2 - axes.shape[1]))).astype(np.float32)
    places = centroids @ axes
    low, high = places.min(axis=0), places.max(axis=0)
    return Square(axes, low, np.maximum(high - low, 1e-12), side)


def _count(block: str, plane: Plane) -> NDArray[np.int64]:
    return np.bincount(plane(plane.rows.table(block), block), minlength=plane.square.side**2)
