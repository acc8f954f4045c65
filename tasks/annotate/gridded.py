"""Make rows between rows of different cells of a grid, so that every occupied cell weighs the same.

Source: the grid mixup of BLAST (arXiv 2505.17871), which mixes samples of different cells of the grid that it draws
from evenly. The grid is that of the strategy `grid`: over the plane of the two largest principal components.
"""

import operator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa

from evenkeel.infra import storage
from evenkeel.infra.arrays import map_array, write_array
from evenkeel.infra.dtypes import Array, Float64Array, Int64Array, UInt64Array
from evenkeel.infra.hashing import hash_identities, uniform
from evenkeel.infra.tables import write_table
from evenkeel.tasks.annotate.kept import KeptSource, RowsOf
from evenkeel.tasks.annotate.making import BASE, made_columns
from evenkeel.tasks.annotate.source import AnnotationSource
from evenkeel.tasks.sample.cells import rank_in_cell
from evenkeel.tasks.sample.strategies.grid import Square, principal_square
from evenkeel.tasks.signal.sample import vectors_of
from evenkeel.tasks.step import Run

PARENT = np.dtype([("cell", "<i4"), ("hash", "<f8"), ("block", "<i4"), ("row", "<u4"), ("identity", "<u8")])
PARENTS, OF_A_CELL = 1 << 20, 64
AT_ONCE = 1 << 16
SEED = 0x6772


@dataclass(frozen=True)
class Gridded:
    """How rows of the cells are mixed; small, sent to workers. files: `parents.npy`, `wanted.npy` in the folder."""

    source: AnnotationSource
    choose: RowsOf
    square: Square
    alpha: float
    folder: str
    seed: int

    @classmethod
    def over(
        cls, source: AnnotationSource, choose: RowsOf, side: int, alpha: float, folder: str, seed: int
    ) -> "Gridded":
        """Lay the grid. choose: row ids of a block that may be parents, ascending."""
        centroids = source.hierarchy().levels[0].centroids
        return cls(source, choose, principal_square(centroids, side), alpha, folder, seed)

    def sizes(self, run: Run) -> Int64Array:
        """Return how many parents lie in every cell, (side * side,) int64."""
        work = self.source.pool.rows * len(self.square.axes) * 4
        found = run.compute.reduce(self._count, operator.iadd, range(len(self.source.blocks)), work=work)
        return np.zeros(self.square.side**2, np.int64) if found is None else found

    def make(self, wanted: Int64Array, sizes: Int64Array, run: Run) -> list[int]:
        """Write so many rows of every cell as tables in `beside`, and of which rows they are; return how many a file.

        The first parents are rows of the cell in turn, at most 64 of it by hash; the second is a row of another cell,
        each as likely. A made row is nearer to the first.
        """
        each = int(max(2, min(OF_A_CELL, PARENTS // max(1, int((sizes > 0).sum())))))
        work = self.source.pool.rows * len(self.square.axes) * 4
        first = partial(_first, each=each)
        found = run.compute.reduce(
            partial(self._parents, first),
            lambda one, other: first(np.concatenate([one, other])),
            range(len(self.source.blocks)),
            work=work,
        )
        write_array(storage.join(self.folder, "parents.npy"), np.empty(0, PARENT) if found is None else found)
        write_array(storage.join(self.folder, "wanted.npy"), np.cumsum(wanted))
        total = int(wanted.sum())
        starts = list(enumerate(range(0, total, AT_ONCE)))
        return run.compute.map(partial(self._make, total), starts, work=total * len(self.square.axes) * 8)

    def _members(self, number: int) -> Array:
        block = self.source.blocks[number]
        table = self.source.pool.table(block, ["row_id", "identity"])
        rows = np.searchsorted(table["row_id"].to_numpy(), self.choose(block))
        members = np.empty(len(rows), PARENT)
        members["block"], members["row"] = number, rows
        members["identity"] = table["identity"].to_numpy()[rows]
        members["hash"] = uniform(self.seed + SEED, members["identity"])
        members["cell"] = self.square.cells(vectors_of(self._kept, members))
        return members

    def _count(self, number: int) -> Int64Array:
        return np.bincount(self._members(number)["cell"], minlength=self.square.side**2).astype(np.int64)

    def _parents(self, first: partial[Array], number: int) -> Array:
        return first(self._members(number))

    @property
    def _kept(self) -> KeptSource:
        return KeptSource.of(self.source, self.choose)

    def _make(self, total: int, task: tuple[int, int]) -> int:
        file, start = task
        scratch = Path(self.source.pool.scratch)
        parents = map_array(storage.join(self.folder, "parents.npy"), scratch)
        ends = np.asarray(map_array(storage.join(self.folder, "wanted.npy"), scratch))
        made = np.arange(start, min(start + AT_ONCE, total))
        cell = np.searchsorted(ends, made, side="right")
        occupied, begins, counts = np.unique(parents["cell"], return_index=True, return_counts=True)
        own = np.searchsorted(occupied, cell)
        copy = made - np.where(cell > 0, ends[cell - 1], 0)
        draws = hash_identities(self.seed + SEED, (cell.astype(np.uint64) << np.uint64(32)) | copy.astype(np.uint64))
        other = _drawn(draws, len(occupied) - 1, 1)
        other += other >= own
        one = np.asarray(parents[begins[own] + copy % counts[own]])
        mate = np.asarray(parents[begins[other] + _drawn(draws, counts[other], 2)])
        share = _shares(self.alpha, uniform(self.seed + SEED + 3, draws))
        kept = self._kept
        x, y = vectors_of(kept, one), vectors_of(kept, mate)
        vectors = x + share[:, None].astype(np.float32) * (y - x)
        table = pa.table(made_columns(self.source, one, mate, share, vectors))
        write_table(storage.join(self.folder, "beside", f"part-{file:05d}.parquet"), table)
        write_array(storage.join(self.folder, f"bases-{file}.npy"), _counted(one))
        return len(made)


def _drawn(draws: UInt64Array, below: Int64Array | int, salt: int) -> Int64Array:
    """Return a number below each bound for each draw, (n,) int64."""
    hashed = hash_identities(salt, draws)
    return np.asarray((hashed % np.asarray(below, np.uint64)).astype(np.int64))


def _shares(alpha: float, u: Float64Array) -> Float64Array:
    """Return how far each made row is on the way to its second parent, (n,) float64, half of it at most."""
    from scipy.special import betaincinv

    found = np.asarray(betaincinv(alpha, alpha, u), np.float64)
    return np.minimum(found, 1 - found)


def _first(parents: Array, each: int) -> Array:
    """Return the first rows of every cell by hash, sorted by cell."""
    found = parents[np.lexsort((parents["identity"], parents["hash"], parents["cell"]))]
    return found[rank_in_cell(found["cell"].astype(np.int64)) < each]


def _counted(bases: Array) -> Array:
    """Return how many rows are made of each, as BASE, by block and row."""
    key = (bases["block"].astype(np.int64) << 32) | bases["row"].astype(np.int64)
    found, counts = np.unique(key, return_counts=True)
    held = np.empty(len(found), BASE)
    held["block"], held["row"], held["made"] = found >> 32, found & 0xFFFFFFFF, counts
    return held
