"""The rows of a batch of cells, opened: from the files that `scatter` writes, or from the blocks for a few cells."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from tempfile import TemporaryFile

import numpy as np
import numpy.typing as npt

from evenkeel.infra.dtypes import Array, Float32Array
from evenkeel.tasks.dedup.cells import MEMBER, Cells
from evenkeel.tasks.embed.post import normalise
from evenkeel.tasks.embed.scatter import Scattered, scatter
from evenkeel.tasks.step import Run

MAX_BYTES_IN_MEMORY = 1 << 28


@dataclass(frozen=True)
class Batch:
    """The rows of some cells. members: (n,) MEMBER, in any order. stored: returns vectors of members, (m, d) floats."""

    cells: Cells
    members: Array
    stored: Callable[[Array], Array]

    def rows(self, members: Array) -> Float32Array:
        """Return the vectors of some members, scaled to length 1: (n, d) float32."""
        return normalise(self.stored(members))


def gather(cells: Cells, run: Run) -> Cells:
    """Write the members and vectors of all cells, batch by batch; return cells that read them from there."""
    if not cells.sizes:
        return cells
    edges = (*(first for first, _ in cells.batches()), len(cells.sizes))
    wanted = Scattered(cells.vectors, MEMBER, cells.folder, cells.folder, cells.scratch, edges)
    names, rows = zip(*((block.name, block.rows) for block in cells.pool.blocks), strict=True)
    return replace(cells, gathered=scatter(wanted, names, rows, run.compute))


def open_batch(cells: Cells, batch: tuple[int, int]) -> Batch:
    """Return the rows of a batch of gathered cells, or of any cells, first .. last - 1, of cells that are not."""
    if cells.gathered is None:
        return Batch(cells, cells.members(*batch), cells.stored)
    vectors = space_for(sum(cells.sizes[slice(*batch)]), cells, cells.vectors.dtype, MAX_BYTES_IN_MEMORY)
    members, count = np.empty(len(vectors), MEMBER), 0
    for found, rows in cells.gathered.parts(cells.gathered.edges.index(batch[0])):
        part = slice(count, count + len(found))
        members[part], vectors[part] = found, rows
        count += len(found)
    members["row"] = np.arange(count)
    return Batch(cells, members, lambda some: np.asarray(vectors[some["row"]]))


def members_of(cells: Cells, batch: tuple[int, int]) -> Array:
    """Return the members of a batch of gathered cells, (n,) MEMBER, without their vectors."""
    assert cells.gathered is not None
    return cells.gathered.members(cells.gathered.edges.index(batch[0]))


def space_for(rows: int, cells: Cells, kind: npt.DTypeLike, most: int) -> Array:
    """Return an empty (rows, d) array: in memory, or on disk where it has more than `most` bytes."""
    shape, kind = (rows, cells.vectors.dimension), np.dtype(kind)
    if rows * shape[1] * kind.itemsize <= most:
        return np.empty(shape, kind)
    cells.scratch.mkdir(parents=True, exist_ok=True)
    with TemporaryFile(dir=cells.scratch) as file:
        return np.memmap(file, kind, "w+", shape=shape)
