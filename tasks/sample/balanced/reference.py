"""The agreement that halves of a cloud without clusters come to: what that of the data is held against.

The idea of a reference distribution is that of the gap statistic (Tibshirani, Walther and Hastie 2001).
"""

from dataclasses import replace

import numpy as np

from evenkeel.tasks.sample.balanced.partition import Matrix, Probe, best_agreement, find_partitions, stable

CLOUDS = 4
UNIT = 0.01


def reference_agreement(probe: Probe, seed: int) -> float:
    """Return the best agreement of halves of Gaussian clouds with the mean and covariance of a probe, the mean of four.

    Where all rows have length 1, so have those of the clouds.
    """
    rng = np.random.default_rng(seed)
    mean = probe.vectors.mean(axis=0)
    values, axes = np.linalg.eigh(np.cov(probe.vectors, rowvar=False).reshape(len(mean), len(mean)))
    spread = (np.sqrt(np.maximum(values, 0.0))[:, None] * axes.T).astype(np.float32)
    unit = bool((np.abs(np.linalg.norm(probe.vectors, axis=1) - 1) < UNIT).all())
    found = [
        find_partitions(replace(probe, vectors=_cloud(mean, spread, len(probe.leaf), unit, rng)), seed)
        for _ in range(CLOUDS)
    ]
    return float(np.mean([best_agreement(stable(one)) for one in found]))


def _cloud(mean: Matrix, spread: Matrix, rows: int, unit: bool, rng: np.random.Generator) -> Matrix:
    cloud: Matrix = rng.standard_normal((rows, len(mean)), np.float32) @ spread + mean
    if unit:
        cloud /= np.maximum(np.linalg.norm(cloud, axis=1, keepdims=True), np.float32(1e-30))
    return cloud
