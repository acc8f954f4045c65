"""The same k-means on a CUDA device: brute force by matrix products, in batches that fit the free memory.

Written against cupy of RAPIDS 26.10; untested on hardware. Exact assignment is what a GPU is good at, so there are no
coarse groups here; seeds, updates of empty clusters, resampling and files are those of the CPU path.
"""

from typing import Any

import numpy as np

from tasks.cluster.lloyd import Labels, Watch, reseed_empty, to_sphere, total
from tasks.cluster.prepare import Floats, Rows

BATCH_SHARE = 0.25


def assign(rows: Rows, centroids: Floats) -> Labels:
    """Return the nearest centroid of every row, (n,) int32; ties go to the lowest index."""
    import cupy

    c = cupy.asarray(centroids)
    half = 0.5 * (c * c).sum(axis=1)
    labels = np.empty(len(rows.x), np.int32)
    for part in _batches(rows, len(centroids)):
        labels[part] = cupy.asnumpy((half - cupy.asarray(rows.x[part]) @ c.T).argmin(axis=1))
    return labels


def lloyd(
    rows: Rows, centroids: Floats, iterations: int, tolerance: float, watch: Watch | None
) -> tuple[Floats, Labels, int]:
    """Run Lloyd iterations and a last assignment, as `lloyd.lloyd` does: (centroids, labels, iterations run)."""
    before, previous, ran = np.inf, np.full(len(rows.x), -1, np.int32), 0
    for ran in range(1, iterations + 1):
        labels = assign(rows, centroids)
        gaps = rows.x - centroids[labels]
        squared = np.einsum("ij,ij->i", gaps, gaps)
        reseeded = len(reseed_empty(rows, centroids, labels, squared))
        inertia = total(rows, squared)
        if watch is not None:
            watch(ran, inertia / rows.scale**2, int((labels != previous).sum()), reseeded)
        update(rows, centroids, labels)
        if inertia >= before * (1 - tolerance) and not reseeded:
            break
        before, previous = inertia, labels
    return centroids, assign(rows, centroids), ran


def update(rows: Rows, centroids: Floats, labels: Labels) -> None:
    """Move every centroid to the weighted mean of its members, in place; sums in float64."""
    import cupy

    sums = cupy.zeros(centroids.shape, cupy.float64)
    mass = cupy.zeros(len(centroids), cupy.float64)
    for part in _batches(rows, centroids.shape[1]):
        x, to = cupy.asarray(rows.x[part], cupy.float64), cupy.asarray(labels[part])
        weights = cupy.asarray(rows.weights[part], cupy.float64) if rows.weights.size else cupy.ones(len(to))
        cupy.add.at(sums, to, x * weights[:, None])
        cupy.add.at(mass, to, weights)
    moved = cupy.asnumpy(mass) > 0
    centroids[moved] = cupy.asnumpy(sums / cupy.maximum(mass, 1e-300)[:, None])[moved]
    if rows.spherical:
        to_sphere(centroids)


def _batches(rows: Rows, width: int) -> list[slice]:
    """Return slices of rows whose products with `width` columns take a quarter of the free device memory."""
    import cupy

    free: Any = cupy.cuda.runtime.memGetInfo()[0]
    size = max(1, int(free * BATCH_SHARE) // (4 * (width + 2 * rows.x.shape[1])))
    return [slice(first, first + size) for first in range(0, len(rows.x), size)]
