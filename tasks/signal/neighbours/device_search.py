"""The nearest of some rows on a device, as `search.nearest` finds them; places and distances come home."""

import numpy as np

from evenkeel.infra.dtypes import Array, Float32Array, Int32Array, Int64Array
from evenkeel.tasks.kmeans.device import opening
from evenkeel.tasks.kmeans.device.arrays import Arrays
from evenkeel.tasks.kmeans.device.batches import REMEDY, enough_memory
from evenkeel.tasks.signal.neighbours.search import Nearest

MAX_SCORES = 1 << 25


def nearest_on_device(rows: Float32Array, others: Float32Array, own: Int64Array, k: int) -> Nearest:
    """Return the k nearest of others, (m, d), to every row, (n, d), as `search.nearest` does with these arguments.

    Products are made in float32, and so are the squared distances to the nearest, without products.
    """
    arrays = opening.open_arrays()
    wanted = min(k, len(others))
    places, squared = np.full((len(rows), k), -1, np.int64), np.full((len(rows), k), np.inf)
    with enough_memory(arrays, "to find nearest neighbours", REMEDY):
        there = arrays.put(np.ascontiguousarray(others))
        half = (there * there).sum(axis=1) * np.float32(0.5)
        step = max(1, MAX_SCORES // max(len(others), 1))
        for start in range(0, len(rows) if wanted else 0, step):
            part = slice(start, start + step)
            queries = arrays.put(np.ascontiguousarray(rows[part]))
            scores: Float32Array = arrays.xp.empty((len(queries), len(others)), np.float32)
            arrays.matmul(queries, there.T, scores, False)
            scores *= np.float32(-1)
            scores += half
            found = _nearest(arrays, scores, own[part], wanted)
            gaps: Float32Array = arrays.xp.empty(found.shape, np.float32)
            for place in range(wanted):
                arrays.kernels.gaps(queries, there, found[place], gaps[place])
            places[part, :wanted], squared[part, :wanted] = arrays.get(found).T, arrays.get(gaps).T
    order = np.argsort(squared, axis=1, kind="stable")
    return Nearest(np.take_along_axis(places, order, 1), np.take_along_axis(squared, order, 1))


def _nearest(arrays: Arrays, scores: Float32Array, own: Array, k: int) -> Int32Array:
    """Return the columns of the k smallest scores of every row, (k, n), smallest first, -1 = none; scores are spent.

    own: (n,) on this machine, a column that is left out, -1 = none.
    """
    xp, line = arrays.xp, arrays.xp.arange(len(scores))
    mine = np.flatnonzero(own >= 0)
    if len(mine):
        scores[arrays.put(mine), arrays.put(own[mine])] = np.inf
    found: Int32Array = xp.empty((k, len(scores)), np.int32)
    for place in range(k):
        best = scores.argmin(axis=1)
        found[place] = xp.where(xp.isfinite(scores.min(axis=1)), best, -1)
        scores[line, best] = np.inf
    return found
