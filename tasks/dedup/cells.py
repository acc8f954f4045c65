"""Vectors of a pool in cells: k-means clusters made for comparing like with like, read a few cells at a time."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np

from evenkeel.infra import storage
from evenkeel.infra.arrays import map_array, write_array
from evenkeel.infra.dtypes import Array, BoolArray, Float32Array, Int64Array
from evenkeel.tasks.dedup.config import SemanticConfig
from evenkeel.tasks.dedup.device_cells import place_on_device
from evenkeel.tasks.dedup.rank import keep_priority, rank_columns
from evenkeel.tasks.dedup.stage import Stage
from evenkeel.tasks.embed.device import driver_device, worker_device
from evenkeel.tasks.embed.fit_sample import sample_rows
from evenkeel.tasks.embed.post import normalise
from evenkeel.tasks.embed.scatter import Scattered
from evenkeel.tasks.embed.vectors import Vectors
from evenkeel.tasks.ingest.pool import Pool
from evenkeel.tasks.kmeans.fit import kmeans
from evenkeel.tasks.kmeans.options import Device, Options
from evenkeel.tasks.step import Run

MEMBER = np.dtype(
    [
        ("cell", "<i4"),
        ("block", "<i4"),
        ("row", "<u4"),
        ("priority", "<u4"),
        ("centrality", "<f4"),
        ("identity", "<u8"),
        ("row_id", "<u8"),
    ]
)
MIN_ROWS_PER_CELL, MAX_CELLS, ROWS_TO_FIT_A_CELL = 1000, 1 << 15, 32
MAX_SCORES = 1 << 25
ROWS_PER_BATCH, MAX_BATCHES = 1 << 16, 1 << 12
CELLS = Options(iterations=8, metric="cosine")


@dataclass(frozen=True)
class Cells:
    """The rows of each cell, in files.

    sizes: rows of each cell. gathered: members and vectors batch by batch, None where they are not gathered.
    """

    pool: Pool
    vectors: Vectors
    folder: str
    scratch: Path
    sizes: tuple[int, ...]
    gathered: Scattered | None = None

    def members(self, first: int, last: int) -> Array:
        """Return the members of cells first .. last - 1, sorted by cell."""
        parts = []
        for block in self.pool.blocks:
            run = map_array(storage.join(self.folder, f"{block.name}.npy"), self.scratch)
            start, stop = np.searchsorted(run["cell"], [first, last])
            parts.append(np.array(run[start:stop]))
        members = np.concatenate(parts)
        return members[np.argsort(members["cell"], kind="stable")]

    def stored(self, members: Array) -> Array:
        """Return the vectors of some members as they are: (n, d) floats."""
        found = np.empty((len(members), self.vectors.dimension), self.vectors.dtype)
        for block in np.unique(members["block"]):
            mine = members["block"] == block
            found[mine] = self.vectors.block(self.pool.blocks[block])[members["row"][mine]]
        return found

    def batches(self) -> list[tuple[int, int]]:
        """Return ranges of cells, (first, last + 1), of about 65,536 rows each: more where one cell has more, or where
        there were more than 4,096 ranges.
        """
        ends = np.cumsum(self.sizes)
        cuts, most = [0], max(ROWS_PER_BATCH, -(-sum(self.sizes) // MAX_BATCHES))
        while cuts[-1] < len(ends):
            done = ends[cuts[-1] - 1] if cuts[-1] else 0
            cuts.append(max(int(np.searchsorted(ends, done + most, side="right")), cuts[-1] + 1))
        return list(pairwise(cuts))


def make_cells(stage: Stage, config: SemanticConfig, run: Run) -> Cells:
    """Cluster a seeded sample of the rows that are left, by cosine, and put every such row in its nearest cell.

    Rows with a zero vector have no direction and are in no cell. The number of cells grows as the root of the number of
    rows, so that placing and comparing cost the same; on average no cell has fewer than 1,000 rows.
    """
    pool, vectors = stage.pool, stage.vectors
    wanted = config.clusters or max(1, min(pool.rows // MIN_ROWS_PER_CELL, math.isqrt(pool.rows), MAX_CELLS))
    parts = []
    for block, positions in sample_rows(pool.blocks, max(20_000, wanted * ROWS_TO_FIT_A_CELL), config.seed):
        ids = pool.table(block, ["row_id"])["row_id"].to_numpy()[positions]
        parts.append(np.asarray(vectors.block(block))[positions[stage.before.kept(ids)]])
    sample = normalise(np.concatenate([np.empty((0, vectors.dimension), vectors.dtype), *parts]))
    sample = sample[sample.any(axis=1)]
    if not len(sample):
        return Cells(pool, vectors, stage.folder, run.scratch, ())
    fitted = kmeans(sample, wanted, CELLS, seed=config.seed, device=driver_device(run.compute))
    centroids = normalise(fitted.centroids)
    place = partial(_place_block, stage, rank_columns(pool, stage.best), centroids, worker_device(run.compute))
    placed = run.compute.map(place, range(len(pool.blocks)), work=pool.rows * vectors.dimension * 4)
    sizes = np.sum(placed, axis=0)
    return Cells(pool, vectors, stage.folder, run.scratch, tuple(int(size) for size in sizes))


def most_similar(rows: Float32Array, others: Iterable[Float32Array]) -> tuple[Int64Array, Float32Array]:
    """Return the most similar of other rows, counted through their blocks, (n,), and the similarity, -2 for none."""
    nearest, similarity, first = np.zeros(len(rows), np.int64), np.full(len(rows), -2, np.float32), 0
    for block in others:
        scores = rows @ block.T
        best = scores.argmax(axis=1)
        closer = scores[np.arange(len(rows)), best]
        nearest = np.where(closer > similarity, first + best, nearest)
        similarity = np.maximum(similarity, closer)
        first += len(block)
    return nearest, similarity


def _place_block(stage: Stage, columns: list[str], centroids: Float32Array, device: Device, number: int) -> Int64Array:
    """Write the members of a block, sorted by cell; return how many each cell got, (cells,) int64."""
    block = stage.pool.blocks[number]
    table = stage.pool.table(block, columns)
    members = np.zeros(table.num_rows, MEMBER)
    members["block"], members["row"] = number, np.arange(len(members))
    members["priority"] = keep_priority(table, columns)
    members["identity"], members["row_id"] = table["identity"].to_numpy(), table["row_id"].to_numpy()
    stored = stage.vectors.block(block)
    place = place_on_device if device.gpu else _place
    members["cell"], members["centrality"], pointing = place(stored, centroids)
    members = members[pointing & stage.before.kept(members["row_id"])]
    members = members[np.argsort(members["cell"], kind="stable")]
    write_array(storage.join(stage.folder, f"{block.name}.npy"), members)
    return np.bincount(members["cell"], minlength=len(centroids))


def _place(stored: Array, centroids: Float32Array) -> tuple[Int64Array, Float32Array, BoolArray]:
    """Return the cell of each of (n, d) rows, the cosine to its centroid, and which rows are not zero, (n,) each."""
    cell, centrality = np.empty(len(stored), np.int64), np.empty(len(stored), np.float32)
    pointing = np.empty(len(stored), bool)
    chunk = max(1, MAX_SCORES // len(centroids))
    for start in range(0, len(stored), chunk):
        part = slice(start, start + chunk)
        rows = normalise(stored[part])
        scores = rows @ centroids.T
        cell[part], centrality[part] = scores.argmax(axis=1), scores.max(axis=1)
        pointing[part] = rows.any(axis=1)
    return cell, centrality, pointing
