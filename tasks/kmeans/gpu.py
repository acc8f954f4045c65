"""The two halves of an iteration on a CUDA device, and cuML's own k-means where all rows fit its memory.

Written against cuML and cupy of RAPIDS 26.10; untested on hardware. Exact assignment is what a GPU is good at, so there
are no inverted lists here; seeds, empty clusters, resampling and files are those of the CPU path.
"""

from dataclasses import replace

import numpy as np

from evenkeel.infra.dtypes import Float32Array, Int32Array
from evenkeel.tasks.kmeans.lloyd import lloyd, to_sphere
from evenkeel.tasks.kmeans.options import NO_HOOKS, Fit, Hooks, Iteration, Options
from evenkeel.tasks.kmeans.prepare import PreparedRows

BATCH_SHARE = 0.25
WHOLE_SHARE = 0.5


def fit(rows: PreparedRows, centroids: Float32Array, options: Options, hooks: Hooks = NO_HOOKS) -> Fit:
    """Run Lloyd iterations from given centroids and a last assignment.

    cuML's k-means runs them all at once where rows and working space take less than half of the free device memory; it
    knows neither spheres nor checkpoints, so cosine and larger sets go in batches, iteration by iteration.
    """
    need = rows.x.nbytes + centroids.nbytes + 16 * len(rows.x)
    if rows.spherical or options.iterations < 2 or need > WHOLE_SHARE * _free():
        return lloyd(rows, centroids, options, hooks, assign, update)
    centroids, ran = fit_whole(rows, centroids, options)
    last = lloyd(rows, centroids, replace(options, iterations=1), _renumbered(hooks, ran), assign, update)
    return last._replace(iterations=ran + 1)


def _renumbered(hooks: Hooks, ran: int) -> Hooks:
    """Return hooks that count iterations on from `ran`, and do nothing else."""
    follow = hooks.on_iteration
    if follow is None:
        return NO_HOOKS

    def on_iteration(one: Iteration) -> None:
        follow(one._replace(number=ran + 1))

    return Hooks(on_iteration)


def fit_whole(rows: PreparedRows, centroids: Float32Array, options: Options) -> tuple[Float32Array, int]:
    """Run cuML's k-means on rows that fit the device: (centroids, iterations run).

    Never with its own seeds: k-means|| runs out of memory at large k (cuml#226). Our tolerance is a share of the
    inertia, its own one of how far the means move, so it may stop an iteration earlier or later.
    """
    from cuml.cluster import KMeans

    model = KMeans(
        n_clusters=len(centroids),
        max_iter=options.iterations - 1,
        tol=options.tolerance,
        init=centroids,
        n_init=1,
        max_samples_per_batch=min(_batch(rows, len(centroids)), 1 << 30),
        output_type="numpy",
    )
    model.fit(rows.x, sample_weight=rows.weights if rows.weights.size else None)
    return np.ascontiguousarray(model.cluster_centers_, np.float32), int(model.n_iter_)


def assign(rows: PreparedRows, centroids: Float32Array) -> Int32Array:
    """Return the nearest centroid of every row, (n,) int32; ties go to the lowest index."""
    import cupy

    c = cupy.asarray(centroids)
    half = 0.5 * (c * c).sum(axis=1)
    labels = np.empty(len(rows.x), np.int32)
    for part in _batches(rows, len(centroids)):
        scores = cupy.asarray(rows.x[part]) @ c.T
        labels[part] = cupy.asnumpy(cupy.subtract(half, scores, out=scores).argmin(axis=1))
    return labels


def update(rows: PreparedRows, centroids: Float32Array, labels: Int32Array) -> None:
    """Move every centroid to the weighted mean of its members, in place; sums in float64."""
    import cupy

    sums = cupy.zeros(centroids.shape, cupy.float64)
    weight_of = cupy.zeros(len(centroids), cupy.float64)
    for part in _batches(rows, 2 * centroids.shape[1]):
        x, to = cupy.asarray(rows.x[part], cupy.float64), cupy.asarray(labels[part])
        weights = cupy.asarray(rows.weights[part], cupy.float64) if rows.weights.size else cupy.ones(len(to))
        cupy.add.at(sums, to, x * weights[:, None])
        cupy.add.at(weight_of, to, weights)
    moved = cupy.asnumpy(weight_of) > 0
    centroids[moved] = cupy.asnumpy(sums / cupy.maximum(weight_of, 1e-300)[:, None])[moved]
    if rows.spherical:
        to_sphere(centroids)


def _free() -> int:
    """Return the bytes of device memory that are free, those that cupy's pool holds unused among them."""
    import cupy

    return int(cupy.cuda.runtime.memGetInfo()[0] + cupy.get_default_memory_pool().free_bytes())


def _batch(rows: PreparedRows, width: int) -> int:
    """Return how many rows make products with `width` columns that take a quarter of the free device memory."""
    size: int = int(_free() * BATCH_SHARE) // (4 * (width + 2 * rows.x.shape[1]))
    return max(1, size)


def _batches(rows: PreparedRows, width: int) -> list[slice]:
    size = _batch(rows, width)
    return [slice(first, first + size) for first in range(0, len(rows.x), size)]
