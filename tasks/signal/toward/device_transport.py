"""The potential of many rows on a device: what `sinkhorn.potential` computes in float64, from products in float32."""

from collections.abc import Iterable

import numpy as np

from evenkeel.infra.dtypes import Float32Array, Float64Array
from evenkeel.tasks.kmeans.device import opening
from evenkeel.tasks.kmeans.device.batches import REMEDY, enough_memory


def potential_on_device(
    parts: Iterable[Float32Array], y: Float32Array, b: Float64Array, g: Float64Array, epsilon: float
) -> Float64Array:
    """Return the potential of the rows of all parts, (n,) float64; each part, (m, d), is copied to the device once.

    y, b, g, epsilon: as for `sinkhorn.potential`. Rows are taken from the mean of y, so that products lose few digits.
    """
    arrays = opening.open_arrays()
    xp, found = arrays.xp, [np.empty(0)]
    centre = y.mean(axis=0, dtype=np.float64)
    others = y.astype(np.float64) - centre
    bias = np.log(b) + (g - (others**2).sum(axis=1)) / epsilon
    with enough_memory(arrays, "for the transport to the target", REMEDY):
        middle, there = arrays.put(centre.astype(np.float32)), arrays.put(others.astype(np.float32))
        offsets = arrays.put(bias.astype(np.float32))
        for part in arrays.stream(parts):
            rows = part - middle
            scores: Float32Array = xp.empty((len(rows), len(y)), np.float32)
            arrays.matmul(rows, there.T, scores, False)
            scores *= np.float32(2 / epsilon)
            scores += offsets
            top = scores.max(axis=1)
            scores -= top[:, None]
            soft = top + xp.log(xp.exp(scores).sum(axis=1))
            found.append(arrays.get((rows * rows).sum(axis=1) - np.float32(epsilon) * soft).astype(np.float64))
    return np.concatenate(found)
