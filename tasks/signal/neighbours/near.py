"""Which cells lie next to each: where neighbours are searched besides a row's own cell."""

import numpy as np

from evenkeel.infra.dtypes import Float32Array, Int32Array
from evenkeel.tasks.kmeans.coarse import fit_coarse, nearest_lists
from evenkeel.tasks.kmeans.neighbours import Neighbours
from evenkeel.tasks.kmeans.prepare import prepare
from evenkeel.tasks.signal.neighbours.size import NEXT

MAX_EXACT, CELLS_AT_ONCE = 1 << 14, 1 << 10
SEED = 0x0EA2


def near_cells(centroids: Float32Array, threads: int, exact: int = MAX_EXACT) -> Int32Array:
    """Return every cell and the eight whose centroids are nearest to its own, (cells, min(9, cells)) int32.

    A cell itself comes first, and again where fewer than eight others were found. Above `exact` cells the nearest are
    found through groups of centroids, so that the cost does not grow with the square of their number.
    """
    count = len(centroids)
    if not count:
        return np.empty((0, 0), np.int32)
    rows = prepare(centroids, None, "euclidean", threads)
    if count <= exact:
        found, _ = nearest_lists(rows.x, rows.x, threads)
    else:
        coarse = fit_coarse(rows, count, np.random.default_rng(SEED)).centroids
        found = Neighbours(rows.x, coarse, threads).lists
    wanted = min(NEXT + 1, count)
    near = np.empty((count, wanted), np.int32)
    for start in range(0, count, CELLS_AT_ONCE):
        part = found[start : start + CELLS_AT_ONCE]
        own = np.arange(start, start + len(part))
        near[start : start + len(part)] = own[:, None]
        gaps = rows.x[np.minimum(part, count - 1)] - rows.x[own, None, :]
        far = np.where(part < count, np.einsum("ijk,ijk->ij", gaps, gaps), np.float32(np.inf))
        far[part == own[:, None]] = -1
        order = np.argsort(far, axis=1, kind="stable")[:, :wanted]
        chosen = np.take_along_axis(part, order, 1)
        near[start : start + len(part), : chosen.shape[1]] = np.where(chosen < count, chosen, own[:, None])
    return near
