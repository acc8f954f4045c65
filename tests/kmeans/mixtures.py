"""Rows with structure, the oracle, and the published 2-D toy."""

import numpy as np


def mixture(n: int = 2000, d: int = 16, components: int = 40, sigma: float = 0.3, seed: int = 0) -> np.ndarray:
    """Gaussian components of unequal mass, (n, d) float32."""
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((components, d))
    mass = 1 / np.arange(1, components + 1)
    member = rng.choice(components, size=n, p=mass / mass.sum())
    return (centres[member] + sigma * rng.standard_normal((n, d))).astype(np.float32)


def brute(x: np.ndarray, centroids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Nearest centroid and distance to it of every row, in float64, without any expansion."""
    squared = ((x[:, None].astype(np.float64) - centroids[None].astype(np.float64)) ** 2).sum(axis=2)
    return squared.argmin(axis=1), np.sqrt(squared.min(axis=1))


def toy(seed: int) -> np.ndarray:
    """The 2-D toy of Vo et al. 2024: three Gaussians of 7,000, 1,000 and 500 points, and 500 uniform on [-3, 3]^2."""
    rng = np.random.default_rng(seed)
    parts = [rng.normal(at, 0.5, (n, 2)) for at, n in (((-1, -1), 7000), ((1, -1), 1000), ((0, 1), 500))]
    return np.concatenate([*parts, rng.uniform(-3, 3, (500, 2))]).astype(np.float32)


def divergence(points: np.ndarray, bandwidth: float = 0.5) -> float:
    """KL of the Gaussian kernel density of 2-D points from uniform, on the grid [-3, 3) with step 0.02."""
    grid = np.arange(-3, 3, 0.02)
    over = [np.exp(-0.5 * ((grid[:, None] - points[:, axis]) / bandwidth) ** 2) for axis in (0, 1)]
    density = over[1] @ over[0].T
    density /= density.sum()
    return float((density * np.log(density * density.size)).sum())
