"""The nearest of finished centroids for rows that are read once, such as those of a block."""

import threading

import numpy as np

from evenkeel.infra.dtypes import Float32Array, Float64Array, Int32Array
from evenkeel.tasks.kmeans.device import opening
from evenkeel.tasks.kmeans.device.batches import enough_memory
from evenkeel.tasks.kmeans.device.grouped import GROUPED_ABOVE, GroupedRanker, Groups
from evenkeel.tasks.kmeans.device.ranking import Ranker
from evenkeel.tasks.kmeans.device.rows import prepare_rows
from evenkeel.tasks.kmeans.options import Metric, Products
from evenkeel.tasks.kmeans.prepare import Frame, Matrix

_one_at_a_time = threading.Lock()


def nearest_on_device(
    x: Matrix,
    metric: Metric,
    frame: Frame,
    centroids: Float32Array,
    coarse: Float32Array | None,
    products: Products,
) -> tuple[Int32Array, Float64Array]:
    """Return the nearest centroid of each of (n, d) rows, (n,) int32, and the squared distance to it, (n,) float64.

    frame: of the centroids, (k, d), which are in working coordinates. coarse: above 8,000 centroids rows are compared
    with those near their coarse one; None = with all. Threads take turns, so that they need not share its memory.
    """
    arrays = opening.open_arrays()
    with _one_at_a_time, enough_memory(arrays, "to find the nearest centroids"):
        rows, points = prepare_rows(arrays, x, None, metric, frame), arrays.put(centroids)
        ranker = Ranker(arrays, products)
        if coarse is None or not len(coarse) or len(centroids) <= GROUPED_ABOVE:
            ranked = ranker.rank(rows, points)
        else:
            there = arrays.put(coarse)
            groups = Groups(there, ranker.rank(rows, there).ids[:, 0].copy())
            ranked = GroupedRanker(arrays, products, groups).rank(rows, points)
        ids, gaps = arrays.get(ranked.ids[:, 0].copy()), arrays.get(ranked.gaps[:, 0].copy())
    return ids, gaps.astype(np.float64) / frame.scale**2
