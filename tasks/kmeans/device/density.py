"""Gaussian kernel density on a device: points against others, by products, a fixed number of points at a time."""

from collections.abc import Sequence

import numpy as np

from evenkeel.infra.dtypes import Float32Array
from evenkeel.tasks.kmeans.device import opening

POINTS = 2048


def densities_on_device(points: Float32Array, others: Float32Array, lengths: Sequence[float]) -> Float32Array:
    """Return the sum of exp(-|p - o|^2 / 2 l^2) over others, (m, d), for each length and point, (lengths, n) float32.

    Points and others go to the device once, and the sums come home.
    """
    arrays = opening.open_arrays()
    xp, there, around = arrays.xp, arrays.put(points), arrays.put(others)
    norms, found = (around * around).sum(axis=1), xp.empty((len(lengths), len(points)), np.float32)
    for first in range(0, len(points), POINTS):
        part = there[first : first + POINTS]
        squared = xp.empty((len(part), len(others)), np.float32)
        arrays.matmul(part, around.T, squared, False)
        squared *= np.float32(-2)
        squared += (part * part).sum(axis=1)[:, None]
        squared += norms
        squared = xp.maximum(squared, 0)
        for place, length in enumerate(lengths):
            weights = xp.exp(squared * np.float32(-0.5 / length**2))
            found[place, first : first + len(part)] = weights.sum(axis=1)
    return arrays.get(found)
