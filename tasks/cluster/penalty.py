"""Size-penalised assignment: a row joins the leaf with the least squared distance + penalty x rows of the leaf.

Source: SPANN (Chen et al. 2021, arXiv 2111.08566), which counts while it assigns. Here the counts are those that the
assignment itself gives (a fixed point, found in a few passes), so that it does not depend on the order of rows. The
penalty of a leaf is one number, its offset, which later rows are assigned with too. A further coordinate, the root of
the offset for a centroid and 0 for a row, turns the sum into a distance, so the index of centroids serves unchanged.
"""

from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from evenkeel.infra import storage
from evenkeel.infra.compute import Compute
from evenkeel.infra.dtypes import Array, Float32Array, Float64Array, Int32Array, Int64Array
from evenkeel.infra.errors import InputError
from evenkeel.tasks.cluster.hierarchy import write_rows
from evenkeel.tasks.cluster.index import forget_index, open_index, write_index
from evenkeel.tasks.cluster.source import Source
from evenkeel.tasks.cluster.split import renumber_block
from evenkeel.tasks.kmeans.index import CentroidIndex

PASSES = 24
FIRST_STEP, SHORTER, LONGER = 0.5, 0.5, 1.1


class Penalised(NamedTuple):
    """Leaves after penalised assignment: centroids (k, d), offsets (k,), rows and summed squared distances (k,)."""

    centroids: Float32Array
    offsets: Float32Array
    counts: Int64Array
    squared: Float64Array


class LeafSums(NamedTuple):
    """Rows and summed squared distances of every leaf, (k,)."""

    counts: Int64Array
    squared: Float64Array


@dataclass(frozen=True)
class Labelling:
    """What a worker needs to assign the rows of a block.

    folder: of the index. earlier: of one that is no longer used. out: of the rows, empty = count only.
    """

    source: Source
    folder: str
    scratch: Path
    out: str
    offsets: Float32Array = field(default_factory=lambda: np.empty(0, np.float32))
    earlier: str = ""

    def __call__(self, block: str) -> LeafSums:
        """Assign the rows of a block; return what every leaf got, in the order of the leaves."""
        if self.earlier:
            forget_index(self.earlier, self.scratch)
        row_ids, _ = self.source.kept(block)
        leaves, squared = nearest_penalised(self.folder, self.scratch, self.source.read(block), self.offsets)
        if self.out:
            write_rows(self.out, block, row_ids, leaves, np.sqrt(squared).astype(np.float32))
        k = len(self.offsets)
        counts = np.bincount(leaves, minlength=k).astype(np.int64)
        return LeafSums(counts, np.bincount(leaves, squared, k).astype(np.float64))


def write_penalised_index(folder: str, centroids: Float32Array, offsets: Float32Array, threads: int) -> None:
    """Write the index of centroids with offsets, (k,) float32 >= 0 in squared units of the rows."""
    further = np.concatenate([centroids, np.sqrt(offsets)[:, None]], axis=1).astype(np.float32)
    write_index(folder, CentroidIndex.build(further, "euclidean", 0, threads))


def nearest_penalised(folder: str, scratch: Path, x: Array, offsets: Float32Array) -> tuple[Int32Array, Float64Array]:
    """Return the leaf of every row, (n,) int32, and the squared distance to it without the offset, (n,) float64."""
    further = np.concatenate([x, np.zeros((len(x), 1), x.dtype)], axis=1)
    leaves, sums = open_index(folder, "euclidean", scratch).nearest(further)
    return leaves, np.maximum(0.0, sums - offsets[leaves])


def penalise(
    labelling: Labelling, centroids: Float32Array, found: LeafSums, penalty: float, compute: Compute
) -> Penalised:
    """Assign all rows with offsets of `penalty` x mean squared distance x rows of the leaf / mean rows; write them.

    labelling: where to, and which rows. found: of the nearest centroids. The count that an offset is made of moves
    towards the one that the leaf gets, by steps that shorten where it overshoots. Leaves that end empty are dropped.
    """
    source, k, rows = labelling.source, len(centroids), max(int(found.counts.sum()), 1)
    unit = penalty * float(found.squared.sum()) / rows * k / rows
    assumed, steps, before = found.counts.astype(np.float64), np.full(k, FIRST_STEP), np.zeros(k)
    work = source.pool.rows * source.dimension * source.vectors.dtype.itemsize
    label = labelling
    for turn in range(PASSES + 1):
        offsets = _float32(unit * (assumed - assumed.min()))
        own = storage.join(labelling.folder, str(turn))  # workers keep a copy of a remote file under its name
        out, earlier = labelling.out if turn == PASSES else "", label.folder if turn else ""
        label = replace(labelling, folder=own, offsets=offsets, out=out, earlier=earlier)
        write_penalised_index(label.folder, centroids, offsets, compute.threads)
        made = compute.reduce(label, _add, source.names, work=work)
        storage.remove(own)
        found = found if made is None else made
        gap = found.counts - assumed
        steps = np.where(gap * before < 0, steps * SHORTER, np.minimum(1.0, steps * LONGER))
        assumed, before = assumed + steps * gap, gap
    present = found.counts > 0
    if not present.all():
        renumbered = np.cumsum(present).astype(np.int32) - 1
        compute.map(partial(renumber_block, labelling.out, labelling.folder, renumbered), source.names, work=work)
    return Penalised(centroids[present], offsets[present], found.counts[present], found.squared[present])


def _float32(offsets: Float64Array) -> Float32Array:
    """Return offsets as they are kept. Raises InputError where they are out of the range of float32."""
    largest, bounds = float(offsets.max()), np.finfo(np.float32)
    if largest > float(bounds.max) or 0 < largest < float(bounds.tiny):
        raise InputError(
            "the numbers of the vectors are too large or too small for clustering.size_penalty",
            expected="squared distances within the range of float32",
            found=f"a penalty of {largest:.2g}",
            where="clustering.size_penalty",
            remedy="scale the vectors, or leave the penalty out",
        )
    return offsets.astype(np.float32)


def _add(left: LeafSums, right: LeafSums) -> LeafSums:
    return LeafSums(left.counts + right.counts, left.squared + right.squared)
