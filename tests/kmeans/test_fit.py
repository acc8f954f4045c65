"""k-means: what holds for any input, and what the fast path owes the exact one."""

import warnings

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from evenkeel.infra.errors import InputError
from evenkeel.tasks.kmeans.fit import kmeans
from evenkeel.tasks.kmeans.options import Iteration, Options, Precision
from tests.examples import most, telling
from tests.kmeans.mixtures import brute, mixture


def test_exact_labels_are_the_nearest_centroids() -> None:
    x = mixture()
    model = kmeans(x, 50, Options(precision="exact"), seed=1)
    labels, distances = brute(x, model.centroids)
    assert np.array_equal(model.labels, labels)
    np.testing.assert_allclose(model.distances, distances, rtol=1e-4)
    assert model.inertia == pytest.approx((distances**2).sum(), rel=1e-5)


@pytest.mark.parametrize("seed", telling([0, 1, 2], "0"))
@pytest.mark.parametrize(
    ("sigma", "components", "most"),
    [(0.3, 40, 1.005), (0.6, 400, 1.005), pytest.param(1.0, 1, 1.02, id="pure noise has no neighbours to go by")],
)
@pytest.mark.long
def test_fast_is_as_good_as_exact(seed: int, sigma: float, components: int, most: float) -> None:
    x = mixture(8000, 32, components, sigma, seed)
    exact = kmeans(x, 400, Options(precision="exact", seeding="k-means++", iterations=12, tolerance=0), seed=seed)
    fast = kmeans(x, 400, seed=seed)
    assert fast.inertia <= most * exact.inertia
    labels, distances = brute(x, fast.centroids)
    assert (labels == fast.labels).mean() > 0.97
    assert fast.inertia <= 1.002 * (distances**2).sum()


def test_distances_and_inertia_belong_to_the_labels() -> None:
    x = mixture(5000, 24, 300)
    model = kmeans(x, 300)
    gaps = x.astype(np.float64) - model.centroids[model.labels]
    squared = (gaps**2).sum(axis=1)
    np.testing.assert_allclose(model.distances, np.sqrt(squared), rtol=1e-4, atol=1e-5)
    assert model.inertia == pytest.approx(squared.sum(), rel=1e-5)
    assert np.array_equal(np.unique(model.labels), np.arange(len(model.centroids)))


@pytest.mark.parametrize("k", [40, 300])
@pytest.mark.long
def test_any_number_of_threads_gives_the_same_bits(k: int) -> None:
    x = mixture(6000, 20, 200)
    one, many = kmeans(x, k, threads=1, seed=3), kmeans(x, k, threads=4, seed=3)
    assert one.centroids.tobytes() == many.centroids.tobytes()
    assert np.array_equal(one.labels, many.labels)
    assert one.inertia == many.inertia
    assert kmeans(x, k, seed=4).centroids.tobytes() != one.centroids.tobytes()


@pytest.mark.parametrize(("k", "precision"), [(20, "exact"), (300, "fast")])
def test_weights_count_like_repeated_rows(k: int, precision: Precision) -> None:
    x = mixture(3000, 12, 300)
    heavy = np.zeros(len(x))
    heavy[:1500] = np.random.default_rng(0).integers(1, 4, 1500)
    weighted = kmeans(x, k, Options(precision=precision), weights=heavy, seed=5)
    repeated = np.repeat(x, heavy.astype(int), axis=0)
    assert weighted.inertia == pytest.approx((heavy * weighted.distances.astype(np.float64) ** 2).sum(), rel=1e-5)
    plain = kmeans(repeated, k, Options(precision=precision), seed=5)
    _, distances = brute(repeated, weighted.centroids)
    assert (distances**2).sum() <= 1.06 * plain.inertia


@pytest.mark.parametrize("k", [20, 200])
def test_cosine_centroids_lie_on_the_sphere_and_ignore_length(k: int) -> None:
    x = mixture(3000, 16, 100)
    model = kmeans(x, k, Options(metric="cosine"), seed=2)
    np.testing.assert_allclose(np.linalg.norm(model.centroids, axis=1), 1, rtol=1e-5)
    stretched = x * np.random.default_rng(1).uniform(0.5, 200, (len(x), 1)).astype(np.float32)
    again = kmeans(stretched, k, Options(metric="cosine"), seed=2)
    assert again.inertia == pytest.approx(model.inertia, rel=0.02)
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    np.testing.assert_allclose(
        model.distances, np.linalg.norm(unit - model.centroids[model.labels], axis=1), 1e-3, 1e-6
    )


@pytest.mark.parametrize(("mean", "sd"), [(1e4, 1.0), (10.0, 0.05), (0.0, 1e-12), (0.0, 1e12)])
@pytest.mark.parametrize("k", [30, 200])
@pytest.mark.long
def test_far_tiny_and_huge_values_keep_their_clusters(mean: float, sd: float, k: int) -> None:
    x = mixture(2000, 8, 30, 0.1).astype(np.float64)
    moved = (mean + sd * x).astype(np.float32)
    model = kmeans(moved, k, seed=1)
    _labels, distances = brute(moved, model.centroids)
    agree = np.isclose(model.distances, distances, rtol=1e-3, atol=1e-6 * mean + 1e-5 * sd)
    assert agree.mean() > 0.99
    assert (model.distances >= 0).all()
    assert model.inertia >= 0


def test_float16_gives_what_float32_gives() -> None:
    half = mixture(3000, 16).astype(np.float16)
    narrow, wide = kmeans(half, 200, seed=1), kmeans(half.astype(np.float32), 200, seed=1)
    assert narrow.centroids.tobytes() == wide.centroids.tobytes()
    assert narrow.centroids.dtype == np.float32


def test_starting_from_centroids_only_improves() -> None:
    x = mixture(4000, 16, 200)
    first = kmeans(x, 200, Options(iterations=1), seed=0)
    second = kmeans(x, 200, Options(iterations=16), seed=0, initial=first.centroids)
    assert second.inertia < first.inertia


def test_more_clusters_than_distinct_rows_gives_the_distinct_rows() -> None:
    distinct = mixture(3, 4)
    x = np.repeat(distinct, [50, 40, 13], axis=0)
    for k in (10, 103, 1000):
        model = kmeans(x, k)
        assert len(model.centroids) == 3
        assert model.inertia == 0
        found = model.centroids[np.lexsort(model.centroids.T)]
        np.testing.assert_allclose(found, distinct[np.lexsort(distinct.T)], rtol=1e-6)


def test_many_copies_of_many_rows_on_the_fast_path() -> None:
    x = np.repeat(mixture(300, 8, 300), 20, axis=0)
    model = kmeans(x, 1000)
    assert len(model.centroids) <= 300
    assert model.inertia <= 0.05 * kmeans(x, 150).inertia


@settings(max_examples=most(120))
@given(
    x=arrays(np.float32, array_shapes(min_dims=2, max_dims=2, max_side=40), elements=st.floats(-1e6, 1e6, width=32)),
    k=st.integers(1, 60),
    precision=st.sampled_from(["fast", "exact"]),
)
@example(x=np.array([[2.2e-44]], np.float32), k=1, precision="fast")
def test_any_finite_matrix_is_clustered(x: np.ndarray, k: int, precision: Precision) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = kmeans(x, k, Options(precision=precision))
    assert 1 <= len(model.centroids) <= min(k, len(np.unique(x, axis=0)))
    assert np.isfinite(model.centroids).all()
    assert np.isfinite(model.distances).all()
    assert model.labels.shape == (len(x),)
    assert np.array_equal(np.unique(model.labels), np.arange(len(model.centroids)))


@settings(max_examples=most(30))
@given(
    seed=st.integers(0, 2**32),
    d=st.integers(1, 9),
    distinct=st.integers(1, 400),
    k=st.integers(129, 600),
)
def test_any_finite_matrix_is_clustered_on_the_fast_path(seed: int, d: int, distinct: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((distinct, d)).astype(np.float32)[rng.integers(distinct, size=700)]
    model = kmeans(x, k, seed=seed)
    assert 1 <= len(model.centroids) <= min(k, len(np.unique(x, axis=0)))
    assert np.array_equal(np.unique(model.labels), np.arange(len(model.centroids)))
    assert np.isfinite(model.inertia)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.array([[0.0, 1.0], [np.nan, 1.0]]), "row 1"),
        (np.array([[0.0, np.inf], [1.0, 1.0]]), "row 0"),
        (np.array([[60000.0], [7e38]]), "row 1"),
        (np.empty((0, 3)), "at least one row"),
        (np.empty((3, 0)), "matrix"),
        (np.zeros(5), "matrix"),
        (np.array([["a"]]), "numbers"),
    ],
)
def test_rows_that_cannot_be_clustered_are_named(x: np.ndarray, message: str) -> None:
    with pytest.raises(InputError, match=message):
        kmeans(x, 2)


def test_infinity_in_float16_is_named() -> None:
    x = np.ones((20, 4), np.float16)
    x[7, 2] = np.float16(np.inf)
    with pytest.raises(InputError, match="row 7"):
        kmeans(x, 2)


@pytest.mark.parametrize("k", [0, -3])
def test_no_clusters_is_refused(k: int) -> None:
    with pytest.raises(InputError, match="k of at least 1"):
        kmeans(mixture(50), k)


@pytest.mark.parametrize("weights", [np.ones(3), np.full(50, -1.0), np.zeros(50), np.full(50, np.nan)])
def test_weights_that_mean_nothing_are_refused(weights: np.ndarray) -> None:
    with pytest.raises(InputError, match="weight"):
        kmeans(mixture(50), 3, weights=weights)


def test_a_row_without_direction_is_named() -> None:
    x = mixture(50)
    x[11] = 0
    with pytest.raises(InputError, match="row 11"):
        kmeans(x, 3, Options(metric="cosine"))


def test_one_row_one_dimension_one_cluster() -> None:
    assert kmeans(np.array([[3.0]]), 5).centroids.tolist() == [[3.0]]
    line = np.arange(1000, dtype=np.float32)[:, None]
    model = kmeans(line, 200)
    assert model.inertia <= 1.5 * kmeans(line, 200, Options(precision="exact", iterations=50)).inertia


@pytest.mark.parametrize("precision", ["fast", "exact"])
def test_every_iteration_is_reported_in_order(precision: Precision) -> None:
    seen: list[Iteration] = []
    model = kmeans(mixture(3000, 12, 300), 200, Options(precision=precision), on_iteration=seen.append)
    assert [one.number for one in seen] == list(range(1, model.iterations + 1))
    assert seen[0].rows_moved > seen[-1].rows_moved
    assert seen[-1].inertia < seen[0].inertia
