"""Cells on a device: rows are placed in them there, and compared inside them; indices and similarities come home.

Products are made in float32, in blocks whose shapes follow from the cells alone, so that the same kind of device finds
the same rows however much of its memory is free.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from evenkeel.infra.dtypes import Array, BoolArray, Float32Array, Int64Array
from evenkeel.tasks.kmeans.device import opening
from evenkeel.tasks.kmeans.device.arrays import Arrays
from evenkeel.tasks.kmeans.device.batches import REMEDY, enough_memory

ROWS_PER_BLOCK = 2048
KEPT_PER_BLOCK = 8192
MAX_SCORES = 1 << 25
SPARE_BYTES = 1 << 30  # what is worked on beside the rows that are kept takes less

NONE = np.float32(-2)


class Placed(NamedTuple):
    """Where rows are placed: cell, (n,) int64, cosine to its centroid, (n,) float32, and which rows are not zero."""

    cell: Int64Array
    centrality: Float32Array
    pointing: BoolArray


class Span(NamedTuple):
    """Rows start..stop, counted through all cells, which are of one cell."""

    cell: int
    start: int
    stop: int


def place_on_device(stored: Array, centroids: Float32Array) -> Placed:
    """Return the cell of each of (n, d) rows: the one of the (k, d) centroids, of length 1, that is most similar."""
    arrays = opening.open_arrays()
    step, count = max(1, MAX_SCORES // len(centroids)), len(stored)
    found = Placed(np.empty(count, np.int64), np.empty(count, np.float32), np.empty(count, bool))
    parts = [slice(start, min(start + step, count)) for start in range(0, count, step)]
    with enough_memory(arrays, "to place rows in cells", REMEDY):
        points = arrays.put(centroids)
        for part, raw in zip(parts, arrays.stream(np.asarray(stored[part]) for part in parts), strict=True):
            rows = _normalised(arrays, raw)
            found.pointing[part] = arrays.get((rows != 0).any(axis=1))
            cell, centrality = _most_similar(arrays, rows, [points])
            found.cell[part], found.centrality[part] = arrays.get(cell), arrays.get(centrality)
    return found


def most_similar_on_device(rows: Float32Array, others: Iterable[Float32Array]) -> tuple[Int64Array, Float32Array]:
    """Return what `cells.most_similar` returns, of rows of length 1; the blocks of others are copied one by one."""
    arrays = opening.open_arrays()
    with enough_memory(arrays, "to compare rows with those that stay", REMEDY):
        nearest, similarity = _most_similar(arrays, arrays.put(rows), arrays.stream(others))
        return arrays.get(nearest), arrays.get(similarity)


def spans_of(sizes: Sequence[int]) -> list[Span]:
    """Return the blocks that cells of these sizes are thinned in, cell after cell."""
    found, first = [], 0
    for cell, size in enumerate(sizes):
        last = first + size
        found += [Span(cell, at, min(at + ROWS_PER_BLOCK, last)) for at in range(first, last, ROWS_PER_BLOCK)]
        first = last
    return found


def thin_on_device(
    sizes: Sequence[int],
    blocks: Iterable[Array],
    dimension: int,
    threshold: np.float32,
    space: Callable[[int], Float32Array],
) -> tuple[Int64Array, Float32Array]:
    """Return the representative of each row of some cells, itself where kept, and their similarity, (n,) each.

    A row is dropped where a row of its cell that is kept before it is similar enough; the most similar one represents
    it. sizes: rows of each cell. blocks: these rows, (m, dimension) floats of any length, as `spans_of` cuts them.
    space: gives room on this machine for so many rows, for the kept ones of a cell that the device has no room for.
    """
    arrays, total = opening.open_arrays(), sum(sizes)
    kept: Kept | None = None
    with enough_memory(arrays, "to compare rows of a cell", REMEDY):
        representative, similarity = arrays.xp.empty(total, np.int64), arrays.xp.empty(total, np.float32)
        for (cell, start, stop), raw in zip(spans_of(sizes), arrays.stream(blocks), strict=True):
            if kept is None or kept.cell != cell:
                kept = Kept(arrays, cell, sizes[cell], dimension, space)
            found = _thin_block(arrays, _normalised(arrays, raw), start, kept, threshold)
            representative[start:stop], similarity[start:stop] = found
        return arrays.get(representative), np.clip(arrays.get(similarity), 0, 1)


class Kept:
    """The rows of a cell that are kept so far, in blocks of 8,192, and where they are among all rows.

    They stay on the device while 1 GiB beside them is free; full blocks are copied home from then on, and back whenever
    rows are compared with them. Either way the blocks are the same.
    """

    def __init__(
        self, arrays: Arrays, cell: int, most: int, dimension: int, space: Callable[[int], Float32Array]
    ) -> None:
        self.arrays, self.cell, self.most, self.space = arrays, cell, most, space
        self.places: Int64Array = arrays.xp.empty(most, np.int64)
        self.last: Float32Array = arrays.xp.empty((min(most, KEPT_PER_BLOCK), dimension), np.float32)
        self.full: list[Float32Array] = []
        self.home: Float32Array | None = None
        self.count = self.used = self.at_home = 0

    def blocks(self) -> Iterator[Float32Array]:
        """Yield all rows in the order in which they were kept, on the device."""
        yield from self.full
        if self.home is not None:
            for first in range(0, self.at_home, KEPT_PER_BLOCK):
                yield self.arrays.put(self.home[first : first + KEPT_PER_BLOCK])
        if self.used:
            yield self.last[: self.used]

    def append(self, rows: Float32Array, places: Int64Array) -> None:
        """Keep (m, d) rows; places: (m,), where they are."""
        self.places[self.count : self.count + len(rows)] = places
        self.count, done = self.count + len(rows), 0
        while done < len(rows):
            if self.used == len(self.last):
                self._begin()
            taken = min(len(self.last) - self.used, len(rows) - done)
            self.last[self.used : self.used + taken] = rows[done : done + taken]
            self.used, done = self.used + taken, done + taken

    def _begin(self) -> None:
        """Begin a block: the last one is full."""
        if self.home is None and self.arrays.free_bytes() >= SPARE_BYTES + self.last.nbytes:
            self.full.append(self.last)
            self.last = self.arrays.xp.empty_like(self.last)
        else:
            if self.home is None:
                self.home = self.space(self.most)
            self.home[self.at_home : self.at_home + self.used] = self.arrays.get(self.last)
            self.at_home += self.used
        self.used = 0


def _thin_block(
    arrays: Arrays, rows: Float32Array, start: int, kept: Kept, threshold: np.float32
) -> tuple[Int64Array, Float32Array]:
    """Return the representatives of the next rows of a cell and the similarity to them; the others join `kept`."""
    xp, place = arrays.xp, arrays.xp.arange(len(rows))
    nearest, similarity = _most_similar(arrays, rows, kept.blocks())
    left = similarity < threshold
    scores = xp.empty((len(rows), len(rows)), np.float32)
    arrays.matmul(rows, rows.T, scores, False)
    earlier = place[:, None] > place
    stays = _first_come(arrays, (scores >= threshold) & earlier & left[:, None] & left, left)
    scores = xp.where(earlier & stays, scores, NONE)
    closeness = scores.max(axis=1)
    inside = xp.where(stays, place, scores.argmax(axis=1)) + start
    if kept.count:
        inside = xp.where(stays | (closeness > similarity), inside, kept.places[nearest])
    closeness = xp.where(stays, np.float32(1), xp.maximum(closeness, similarity))
    fresh = xp.flatnonzero(stays)
    kept.append(rows[fresh], fresh + start)
    return inside, closeness


def _first_come(arrays: Arrays, near: BoolArray, left: BoolArray) -> BoolArray:
    """Return the rows that are near no row that stays before them, (m,) bool; near: (m, m), of earlier rows alone.

    All rows that no undecided one before them is near to stay at once, and those near to these go, until none is left:
    what one pass in order would find, in as many rounds as the longest chain of rows, each near to the one before.
    """
    stays: BoolArray = arrays.xp.zeros(len(near), bool)
    while bool(left.any()):
        fresh = left & ~(near & left).any(axis=1)
        stays = stays | fresh
        left = left & ~fresh & ~(near & fresh).any(axis=1)
    return stays


def _most_similar(
    arrays: Arrays, rows: Float32Array, others: Iterable[Float32Array]
) -> tuple[Int64Array, Float32Array]:
    """Return the most similar of other rows, counted through their blocks, and the similarity; -2 = there are none."""
    xp, first = arrays.xp, 0
    nearest, similarity = xp.zeros(len(rows), np.int64), xp.full(len(rows), NONE, np.float32)
    for block in others:
        scores = xp.empty((len(rows), len(block)), np.float32)
        arrays.matmul(rows, block.T, scores, False)
        closest = scores.max(axis=1)
        nearest = xp.where(closest > similarity, scores.argmax(axis=1) + first, nearest)
        similarity = xp.maximum(similarity, closest)
        first += len(block)
    return nearest, similarity


def _normalised(arrays: Arrays, raw: Array) -> Float32Array:
    """Return rows scaled to length 1, (n, d) float32; a zero row stays zero."""
    rows: Float32Array = raw.astype(np.float32)
    lengths = arrays.xp.sqrt((rows * rows).sum(axis=1))
    rows /= arrays.xp.where(lengths > 0, lengths, np.float32(1))[:, None]
    return rows
