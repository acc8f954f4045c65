"""k-means: what holds for any input."""

import numpy as np
import pytest

from infra.errors import InputError
from tasks.cluster.kmeans import kmeans


def brute(x, centroids):
    squared = ((x[:, None].astype(np.float64) - centroids[None]) ** 2).sum(axis=2)
    return squared.argmin(axis=1), np.sqrt(squared.min(axis=1))


def mixture(n=2000, d=16, components=40, seed=0, sigma=0.3):
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((components, d))
    return (centres[rng.integers(components, size=n)] + sigma * rng.standard_normal((n, d))).astype(np.float32)


def test_exact_labels_are_the_nearest_centroids():
    x = mixture()
    model = kmeans(x, 50, precision="exact", seed=1)
    labels, distances = brute(x, model.centroids)
    assert np.array_equal(model.labels, labels)
    np.testing.assert_allclose(model.distances, distances, rtol=1e-4)
    np.testing.assert_allclose(model.inertia, (distances**2).sum(), rtol=1e-5)


@pytest.mark.parametrize("k", [0, -3])
def test_no_clusters_is_refused(k):
    with pytest.raises(InputError, match="k of at least 1"):
        kmeans(mixture(50), k)
