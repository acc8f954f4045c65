"""A centroid index: it finds what comparing with all finds, and comes back from its arrays as it was."""

import numpy as np
import pytest

from evenkeel.tasks.kmeans.index import CentroidIndex
from evenkeel.tasks.kmeans.options import Metric
from tests.kmeans.mixtures import brute, mixture


@pytest.mark.parametrize(("k", "agree"), [(500, 1.0), (3000, 0.99)])
@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
@pytest.mark.long
def test_the_nearest_of_many_is_found(k: int, agree: float, metric: Metric) -> None:
    rows = mixture(6000, 16, 300)
    if metric == "cosine":
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    centroids, x = rows[:k], rows[3000:]
    index = CentroidIndex.build(centroids, metric, seed=0, threads=2)
    labels, squared = index.nearest(x)
    nearest, distances = brute(x, centroids)
    assert (labels == nearest).mean() >= agree
    found = labels == nearest
    np.testing.assert_allclose(squared[found], distances[found] ** 2, rtol=1e-3, atol=1e-5)
    exact, _ = index.nearest(x, exact=True)
    assert (exact == nearest).mean() > 0.999


def test_an_index_comes_back_from_its_arrays() -> None:
    x = mixture(4000, 8, 200)
    for k in (300, 2000):
        index = CentroidIndex.build(x[:k], "euclidean", seed=1, threads=1)
        again = CentroidIndex.from_arrays("euclidean", index.arrays())
        (labels, squared), (same, too) = index.nearest(x), again.nearest(x)
        assert np.array_equal(labels, same)
        assert np.array_equal(squared, too)


def test_no_rows_have_no_nearest() -> None:
    labels, squared = CentroidIndex.build(mixture(50), "euclidean", 0, 1).nearest(np.empty((0, 16), np.float32))
    assert labels.shape == squared.shape == (0,)
