"""Offsets bound the rows of centroids at the least cost, as optimal transport does, and leave none empty."""

import numpy as np
from scipy.optimize import linear_sum_assignment

from evenkeel.tasks.kmeans.capacity import assign_with_offsets, capacity_offsets, squared_gaps


def lopsided(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return 120 rows, most of them near the first of six centroids, and the centroids."""
    rng = np.random.default_rng(seed)
    centroids = rng.normal(0, 2, (6, 3)).astype(np.float32)
    near = np.minimum(rng.geometric(0.5, 120) - 1, 5)
    return (centroids[near] + rng.normal(0, 1.0, (120, 3))).astype(np.float32), centroids


def test_no_centroid_gets_too_many_rows_and_the_cost_is_that_of_the_best_assignment() -> None:
    """Against the Hungarian method over 24 places at each centroid."""
    for seed in range(5):
        x, centroids = lopsided(seed)
        gaps = squared_gaps(x, centroids)
        assert np.bincount(gaps.argmin(axis=1)).max() > 24
        labels = assign_with_offsets(x, centroids, capacity_offsets(x, centroids, 24))
        sizes = np.bincount(labels, minlength=6)
        assert sizes.max() <= 24
        assert sizes.min() > 0
        places = np.repeat(np.arange(6), 24)
        rows, columns = linear_sum_assignment(gaps[:, places])
        best = gaps[rows, places[columns]].sum()
        cost = gaps[np.arange(120), labels].sum()
        assert best - 1e-6 <= cost <= 1.05 * best


def test_offsets_are_zero_where_nothing_is_too_large() -> None:
    x, centroids = lopsided(0)
    assert not capacity_offsets(x, centroids, 120).any()
    assert (assign_with_offsets(x, centroids, np.zeros(6)) == squared_gaps(x, centroids).argmin(axis=1)).all()


def test_rows_look_at_many_centroids_in_parts() -> None:
    rng = np.random.default_rng(2)
    centroids = rng.normal(size=(120, 4)).astype(np.float32)
    x = (rng.normal(size=(5000, 4)) * 0.6).astype(np.float32)
    labels = assign_with_offsets(x, centroids, capacity_offsets(x, centroids, 80))
    assert np.bincount(labels).max() <= 80


def test_equal_rows_stay_together() -> None:
    x = np.ones((50, 2), np.float32)
    offsets = capacity_offsets(x, np.array([[1, 1], [5, 5]], np.float32), 30)
    assert np.isfinite(offsets).all()
