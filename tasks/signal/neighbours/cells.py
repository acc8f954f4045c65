"""Rows in cells: every row is placed in a cell, and the rows of each cell are gathered from all blocks.

The cells are those of a quick k-means on a sample of the pool, or the leaves of its clustering. Files hold where a row
is, and its vector: those of a cell lie side by side. Rows of a cell are sorted by the hash of their id, so that any
split into blocks gives the same.
"""

from dataclasses import dataclass, field, replace
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np

from evenkeel.infra import storage
from evenkeel.infra.arrays import map_array, read_array, write_array
from evenkeel.infra.dtypes import Array, Float32Array, Int32Array, Int64Array, UInt64Array
from evenkeel.infra.sections import Sections, write_sections
from evenkeel.tasks.cluster.index import open_index, write_index
from evenkeel.tasks.embed.post import normalise
from evenkeel.tasks.embed.scatter import Scattered, scatter
from evenkeel.tasks.kmeans.fit import kmeans
from evenkeel.tasks.kmeans.index import CentroidIndex
from evenkeel.tasks.kmeans.options import Metric, Options
from evenkeel.tasks.signal.groups import count_groups, read_groups
from evenkeel.tasks.signal.neighbours.near import near_cells
from evenkeel.tasks.signal.neighbours.size import cells_for
from evenkeel.tasks.signal.sample import sample_rows, vectors_of
from evenkeel.tasks.signal.source import SignalSource
from evenkeel.tasks.step import Run

MEMBER = np.dtype(
    [
        ("cell", "<i4"),
        ("place", "<u4"),  # among the rows of the cell
        ("block", "<i4"),
        ("row", "<u4"),
        ("label", "<i4"),
        ("identity", "<u8"),
        ("row_id", "<u8"),
    ]
)
ROWS_TO_FIT_A_CELL = 32
ROWS_PER_BATCH, MAX_BATCHES, MAX_COUNTERS = 1 << 16, 1 << 12, 1 << 16
MAX_OPEN = 1 << 9
SEED = 0xCE11


@dataclass(frozen=True)
class Cells:
    """The rows of every cell, in files of consecutive cells.

    folder: of the files, and of the groups that are the labels. metric: cosine = rows are scaled to length 1. clusters:
    whether the cells are the leaves of the clustering. edges: the first cell of every file, and the number of cells.
    """

    source: SignalSource
    folder: str
    metric: Metric
    clusters: bool
    edges: tuple[int, ...]
    _vectors: dict[int, Sections] = field(default_factory=dict, repr=False, compare=False)

    def batches(self) -> range:
        """Return the numbers of the files."""
        return range(len(self.edges) - 1)

    def near(self) -> Int32Array:
        """Return every cell and the eight whose centroids are nearest to its own, (cells, <= 9) int32, itself first."""
        return np.asarray(map_array(self._path("near.npy"), Path(self.source.pool.scratch)))

    def open(self) -> "OpenCells":
        """Open the files for one batch of work."""
        return OpenCells(self)

    def rows(self, members: Array) -> Float32Array:
        """Return the vectors of some members, (n, d) float32; those of one cell in a row are read at once."""
        kind, dimension = self.source.vectors.dtype.newbyteorder("<"), self.source.vectors.dimension
        found = np.empty((len(members), dimension), np.float32)
        edges = np.flatnonzero(np.diff(members["cell"], prepend=-1, append=-1))
        for first, last in pairwise(edges):
            (held,) = self._read(int(members["cell"][first]))
            found[first:last] = np.frombuffer(held, kind).reshape(-1, dimension)[members["place"][first:last]]
        return normalise(found) if self.metric == "cosine" else found

    def row_ids(self, members: Array) -> UInt64Array:
        """Return the row ids of some members, (n,) uint64, in their order."""
        return np.array(members["row_id"])

    def _read(self, cell: int) -> list[memoryview]:
        """Return the vectors of a cell as they are stored."""
        batch = int(np.searchsorted(self.edges, cell, side="right")) - 1
        opened = self._vectors.get(batch)
        if opened is None:
            if len(self._vectors) >= MAX_OPEN:
                self._vectors.clear()
            opened = self._vectors[batch] = Sections(self._path(f"vectors-{batch}.bin"))
        place = cell - self.edges[batch]
        return opened.read(place, place + 1)

    def _path(self, name: str) -> str:
        return storage.join(self.folder, name)


class OpenCells:
    """The members of cells, files being opened when they are first asked for."""

    def __init__(self, cells: Cells) -> None:
        self.cells = cells
        self._files: dict[int, tuple[Array, Int64Array]] = {}

    def members(self, cell: int) -> Array:
        """Return the members of a cell, by the hash of their ids."""
        cells = self.cells
        batch = int(np.searchsorted(cells.edges, cell, side="right")) - 1
        if batch not in self._files:
            members = map_array(storage.join(cells.folder, f"members-{batch}.npy"), Path(cells.source.pool.scratch))
            self._files[batch] = members, read_array(storage.join(cells.folder, f"starts-{batch}.npy"))
        members, starts = self._files[batch]
        place = cell - cells.edges[batch]
        return np.asarray(members[starts[place] : starts[place + 1]])


def make_cells(source: SignalSource, folder: str, run: Run, *, metric: Metric, label: str, clusters: bool) -> Cells:
    """Place the rows of a pool in cells. label: a column; rows without a value there are in no cell.

    clusters: the cells are the leaves, and rows that deduplication dropped are in none.
    """
    count_groups(source, label, folder, run)
    centroids = source.hierarchy.levels[0].centroids if clusters else _fit(source, metric, folder, run)
    if not clusters:
        write_index(storage.join(folder, "index"), CentroidIndex.build(centroids, metric, SEED, run.compute.threads))
    write_array(storage.join(folder, "near.npy"), near_cells(centroids, run.compute.threads))
    cells = Cells(source, folder, metric, clusters, (0, len(centroids)))
    step = -(-len(centroids) // MAX_COUNTERS)
    work = source.pool.rows * source.vectors.dimension * 4
    place = partial(place_block, cells, step)
    sizes = run.compute.reduce(place, np.add, range(len(source.blocks)), work=work)
    cells = replace(cells, edges=edges_of(sizes, step, len(centroids)))
    placed, scratch = storage.join(folder, "placed"), Path(source.pool.scratch)
    wanted = Scattered(source.vectors, MEMBER, placed, placed, scratch, cells.edges)
    scattered = scatter(wanted, source.blocks, [block.rows for block in source.pool.blocks], run.compute)
    run.compute.map(partial(gather, cells, scattered), cells.batches(), work=work)
    storage.remove(placed)
    return cells


def edges_of(sizes: Int64Array | None, step: int, cells: int) -> tuple[int, ...]:
    """Cut cells into at most 4,096 ranges of about equally many rows, 65,536 or more; return where they begin and end.

    sizes: the rows of every `step` consecutive cells.
    """
    ends = np.cumsum(np.zeros(1, np.int64) if sizes is None else sizes)
    rows = int(ends[-1])
    most = max(ROWS_PER_BATCH, -(-rows // MAX_BATCHES))
    cuts = (np.searchsorted(ends, np.arange(most, rows, most)) + 1) * step
    return tuple(int(cut) for cut in np.unique([0, *cuts[cuts < cells], cells]))


def place_block(cells: Cells, step: int, number: int) -> Int64Array:
    """Write the members of a block, sorted by cell; return how many every `step` consecutive cells got."""
    source, block = cells.source, cells.source.blocks[number]
    table = source.pool.table(block, ["identity", "row_id"])
    identity = table["identity"].to_numpy()
    members = np.zeros(len(identity), MEMBER)
    members["row_id"] = table["row_id"].to_numpy()
    members["block"], members["row"], members["identity"] = number, np.arange(len(members)), identity
    members["cell"] = _cells_of_block(cells, block)
    groups = read_groups(cells.folder)
    if groups.column:
        table = source.columns(block, groups.columns)
        members["label"] = groups.codes(table)
        members["cell"][groups.missing(table)] = -1
    members = members[members["cell"] >= 0]
    members = members[np.lexsort((members["identity"], members["cell"]))]
    write_array(storage.join(cells.folder, "placed", f"{block}.npy"), members)
    return np.bincount(members["cell"] // step, minlength=-(-cells.edges[-1] // step))


def gather(cells: Cells, scattered: Scattered, batch: int) -> None:
    """Write the members of the cells of a batch, and their vectors, a section for each cell."""
    first, last = cells.edges[batch], cells.edges[batch + 1]
    parts = list(scattered.parts(batch))
    members = np.concatenate([np.empty(0, MEMBER), *(found for found, _ in parts)])
    order = np.lexsort((members["identity"], members["cell"]))
    members = members[order]
    starts = np.searchsorted(members["cell"], np.arange(first, last + 1)).astype(np.int64)
    members["place"] = np.arange(len(members)) - starts[members["cell"] - first]
    write_array(storage.join(cells.folder, f"members-{batch}.npy"), members)
    write_array(storage.join(cells.folder, f"starts-{batch}.npy"), starts)
    rows = np.concatenate([vectors for _, vectors in parts]) if parts else np.empty((0, 1), np.float32)
    del parts
    sections = [rows[order[start:stop]].reshape(-1).view(np.uint8).data for start, stop in pairwise(starts)]
    write_sections(storage.join(cells.folder, f"vectors-{batch}.bin"), sections)


def _fit(source: SignalSource, metric: Metric, folder: str, run: Run) -> Float32Array:
    """Return the centroids of a k-means on a sample of the pool."""
    rows = source.pool.rows
    wanted = cells_for(rows)
    whole = storage.join(folder, "whole")
    count_groups(source, "", whole, run)
    sample = vectors_of(source, sample_rows(source, whole, max(20_000, wanted * ROWS_TO_FIT_A_CELL), SEED, run))
    if metric == "cosine":
        sample = normalise(sample)
        sample = sample[sample.any(axis=1)]
    if not len(sample):
        return np.zeros((1, source.vectors.dimension), np.float32)
    options = Options(iterations=8, metric=metric)
    return kmeans(sample, wanted, options, seed=SEED, threads=run.compute.threads).centroids


def _cells_of_block(cells: Cells, block: str) -> Int32Array:
    """Return the cell of every row of a block, (n,) int32, -1 for none."""
    if cells.clusters:
        return cells.source.clusters(block)[0]
    index = open_index(storage.join(cells.folder, "index"), cells.metric, Path(cells.source.pool.scratch))
    stored = cells.source.vectors.block(block)
    found = np.full(len(stored), -1, np.int32)
    step = max(1, (1 << 24) // max(stored.shape[1], 1))
    for start, stop in pairwise([*range(0, len(stored), step), len(stored)]):
        rows = np.asarray(stored[start:stop], np.float32)
        if cells.metric == "cosine":
            pointing = np.flatnonzero(rows.any(axis=1))
            found[start + pointing] = index.nearest(normalise(rows[pointing]))[0]
        else:
            found[start:stop] = index.nearest(rows)[0]
    return found
