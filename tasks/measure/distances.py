"""How far the version and the pool are from the target set, in the space of vectors and over clusters.

mmd: squared maximum mean discrepancy with a Gaussian kernel (Gretton et al. 2012), by 512 random Fourier features
(Rahimi and Recht 2007), unbiased; frechet: of means and covariances; transport: optimal transport between the
histograms of a level at the squared distances of its centroids; kl: of the target from the version over the leaves.
Sums of both sets add up over blocks in pairs on the workers, so a pass costs the driver nothing.
"""

from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from evenkeel.infra import storage
from evenkeel.infra.arrays import map_array, write_array
from evenkeel.infra.compute import Compute
from evenkeel.infra.dtypes import Array, Float64Array, Int64Array
from evenkeel.infra.errors import StepError
from evenkeel.tasks.cluster.hierarchy import Hierarchy
from evenkeel.tasks.dedup.target_set import TargetSet
from evenkeel.tasks.embed.vectors import Vectors
from evenkeel.tasks.measure.inputs import MeasureInputs
from evenkeel.tasks.measure.joint import copies_of
from evenkeel.tasks.sample.candidates import CandidateRows
from evenkeel.tasks.sample.selection import Selection
from evenkeel.tasks.signal.toward.clusters import count_leaves
from evenkeel.tasks.signal.toward.frechet import Moments, frechet
from evenkeel.tasks.signal.toward.sinkhorn import squared_distances, transport
from evenkeel.tasks.step import Run

FEATURES, SEED, ROWS_PER_CHUNK = 512, 0x6D6D64, 8192
MOST_CLUSTERS, EPSILON = 1024, 0.01
POOL, VERSION = 0, 1
BY = ("mmd", "frechet", "transport", "kl")


class VectorSums(NamedTuple):
    """Sums over the rows of k sets. moments: of vectors. waves: (k, 512) float64, of random Fourier features."""

    moments: Moments
    waves: Float64Array

    def add(self, other: "VectorSums") -> "VectorSums":
        """Return the sums over the rows of both."""
        return VectorSums(self.moments.add(other.moments), self.waves + other.waves)


def measure_distances(target: TargetSet, inputs: MeasureInputs, folder: str, run: Run) -> pa.Table:
    """Return the profile's table `distances`: to, by, pool, after (of the pool, of the version)."""
    hierarchy, vectors = Hierarchy.open(inputs.cluster), Vectors.open(inputs.embed, run.scratch)
    rng = np.random.default_rng(SEED)
    waves = rng.normal(size=(vectors.dimension, FEATURES // 2)) / np.sqrt(_variance(hierarchy))
    write_array(storage.join(folder, "waves.npy"), waves)
    rows = CandidateRows.open(inputs.ingest, inputs.embed, inputs.cluster, str(run.scratch), inputs.signals)
    found = sum_vectors(rows, vectors, inputs.sample.uri, folder, run.scratch, run.compute)
    aim = VectorSums(Moments.of(np.empty((0, vectors.dimension)), np.empty(0, np.int64), 1), np.zeros((1, FEATURES)))
    for part in target.vectors(vectors, run):
        for start in range(0, len(part), ROWS_PER_CHUNK):
            x = part[start : start + ROWS_PER_CHUNK]
            aim = aim.add(_sums(x, np.zeros(len(x), np.int64), 1, waves))
    wanted = count_leaves(target, vectors, hierarchy, storage.join(folder, "index"), run)
    after = np.zeros(hierarchy.leaves, np.int64)
    kept = Selection.open(inputs.sample).table()
    np.add.at(after, kept["leaf"].to_numpy(), kept["copies"].to_numpy())
    counts = [hierarchy.levels[0].counts, after]
    distances = {
        "mmd": discrepancies(found, aim),
        "frechet": frechet(found.moments, aim.moments),
        "transport": np.array([_over_clusters(hierarchy, one, wanted) for one in counts]),
        "kl": np.array([_divergence(wanted, one, hierarchy.levels[0].counts) for one in counts]),
    }
    storage.remove(folder)
    return pa.table(
        {
            "to": ["target"] * len(BY),
            "by": list(BY),
            "pool": [float(distances[by][POOL]) for by in BY],
            "after": [float(distances[by][VERSION]) for by in BY],
        }
    )


def sum_vectors(
    rows: CandidateRows, vectors: Vectors, sample: str, folder: str, scratch: Path, compute: Compute
) -> VectorSums:
    """Return the sums over the kept rows of the pool, and over the copies of the version. StepError without rows."""
    found = compute.reduce(
        partial(_block_sums, rows, vectors, sample, folder, scratch),
        VectorSums.add,
        rows.blocks,
        work=rows.pool.rows * vectors.dimension * 4,
    )
    if found is None:
        raise StepError("there are no rows to measure distances of")
    return found


def discrepancies(found: VectorSums, aim: VectorSums) -> Float64Array:
    """Return the squared discrepancy of each set from the target, (k,) float64, never below 0.

    A feature vector has length 1, so the expected square of a mean over n rows exceeds that of its expectation by (1 -
    square) / (n - 1), which is taken off.
    """
    n, m = np.maximum(found.moments.rows, 1), max(int(aim.moments.rows[0]), 1)
    mean, wanted = found.waves / n[:, None], aim.waves[0] / m
    own, other = (1 - (mean**2).sum(axis=1)) / np.maximum(n - 1, 1), (1 - (wanted**2).sum()) / max(m - 1, 1)
    squares: Float64Array = np.maximum(((mean - wanted) ** 2).sum(axis=1) - own - other, 0.0)
    return squares


def _block_sums(
    rows: CandidateRows, vectors: Vectors, sample: str, folder: str, scratch: Path, block: str
) -> VectorSums:
    row_id = rows.table(block)["row_id"].to_numpy()
    place = np.searchsorted(rows.pool.table(block, ["row_id"])["row_id"].to_numpy(), row_id)
    copies, stored = copies_of(row_id, sample), vectors.block(block)
    waves = np.asarray(map_array(storage.join(folder, "waves.npy"), scratch))
    empty = np.empty(0, np.int64)
    found = _sums(np.empty((0, vectors.dimension)), empty, 2, waves)
    for start in range(0, len(place), ROWS_PER_CHUNK):
        part = slice(start, start + ROWS_PER_CHUNK)
        x, times = np.asarray(stored[place[part]], np.float64), copies[part]
        found = found.add(_sums(x, np.full(len(x), POOL), 2, waves))
        chosen = np.repeat(x, times, axis=0)
        found = found.add(_sums(chosen, np.full(len(chosen), VERSION), 2, waves))
    return found


def _sums(x: Array, member: Int64Array, sets: int, waves: Float64Array) -> VectorSums:
    """Return the sums of rows (n, d) that belong to sets (n,)."""
    x = np.asarray(x, np.float64)
    angles = x @ waves
    features = np.concatenate([np.cos(angles), np.sin(angles)], axis=1) / np.sqrt(FEATURES / 2)
    total = np.zeros((sets, FEATURES))
    for one in np.unique(member):
        total[one] = features[member == one].sum(axis=0)
    return VectorSums(Moments.of(x, member, sets), total)


def _variance(hierarchy: Hierarchy) -> float:
    """Return the mean squared distance of the rows from their mean, by the leaves: the kernel's squared width."""
    leaves = hierarchy.levels[0]
    n, x = leaves.counts.astype(np.float64), leaves.centroids.astype(np.float64)
    mean = n @ x / max(n.sum(), 1)
    spread = ((x - mean) ** 2).sum(axis=1) + leaves.radii.astype(np.float64) ** 2
    return float(n @ spread / max(n.sum(), 1)) or 1.0


def _over_clusters(hierarchy: Hierarchy, counts: Int64Array, wanted: Int64Array) -> float:
    """Return the transport between two histograms of leaves, lifted to the finest level of at most 1,024 clusters."""
    level = next((n for n, one in enumerate(hierarchy.levels, 1) if one.clusters <= MOST_CLUSTERS), None)
    if level is None or not counts.sum():
        return float("nan")
    cluster, centroids = hierarchy.ancestors(level), hierarchy.levels[level - 1].centroids
    a, b = (np.bincount(cluster, one, len(centroids)) / one.sum() for one in (counts, wanted))
    return transport(a, b, squared_distances(centroids, centroids), EPSILON).cost


def _divergence(wanted: Int64Array, counts: Int64Array, pool: Int64Array) -> float:
    """Return the divergence of the target from a histogram of leaves, in nats; a row spread like the pool is added."""
    share = pool / max(pool.sum(), 1)
    p, q = wanted / max(wanted.sum(), 1), (counts + share) / (counts.sum() + 1)
    held = (p > 0) & (q > 0)
    return float((p[held] * np.log(p[held] / q[held])).sum())
