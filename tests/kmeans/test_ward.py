"""Ward linkage: the merges of scipy, weights that are repeated rows, groups that lose little."""

import numpy as np
import pytest
from scipy.cluster.hierarchy import fcluster, linkage
from sklearn.metrics import adjusted_rand_score

from evenkeel.tasks.kmeans import ward
from evenkeel.tasks.kmeans.options import CPU, Device
from evenkeel.tasks.kmeans.ward import cut, means_of, ward_labels, ward_merges
from tests.kmeans.mixtures import mixture


def inertia(x: np.ndarray, labels: np.ndarray, weights: np.ndarray) -> float:
    gaps = x - means_of(x, weights, labels)[0][labels]
    return float(weights @ (gaps.astype(np.float64) ** 2).sum(axis=1))


@pytest.mark.parametrize(("rows", "d"), [(2, 3), (3, 1), (300, 8), (500, 64)])
def test_the_merges_are_those_of_scipy(rows: int, d: int) -> None:
    x = np.random.default_rng(rows).normal(0, 1, (rows, d)).astype(np.float32)
    merges, peer = ward_merges(x, np.ones(rows)), linkage(x.astype(np.float64), "ward")
    np.testing.assert_allclose(np.sqrt(2 * merges.heights), peer[:, 2], rtol=1e-4)
    for k in {1, 2, rows // 10 + 1, rows // 2 + 1, rows}:
        labels = cut(merges, rows, k)
        assert labels.max() + 1 == k
        assert adjusted_rand_score(labels, fcluster(peer, k, "maxclust")) == 1


def test_every_merge_raises_the_inertia_by_its_height() -> None:
    rng = np.random.default_rng(3)
    x, weights = rng.normal(0, 1, (60, 4)).astype(np.float32), rng.uniform(0.5, 9, 60)
    merges, before = ward_merges(x, weights), 0.0
    for done, height in enumerate(merges.heights, start=1):
        now = inertia(x, cut(merges, 60, 60 - done), weights)
        assert now - before == pytest.approx(height, rel=1e-3, abs=1e-5)
        before = now


def test_a_weight_is_as_good_as_repeated_rows() -> None:
    rng = np.random.default_rng(4)
    x, times = rng.normal(0, 1, (120, 6)).astype(np.float32), rng.integers(1, 6, 120)
    weighted = ward_labels(x, times.astype(np.float64), 9, CPU, 0)
    repeated = ward_labels(np.repeat(x, times, axis=0), np.ones(times.sum()), 9, CPU, 0)
    assert np.array_equal(np.repeat(weighted, times), repeated)


@pytest.mark.parametrize("threads", [1, 3])
def test_groups_find_what_all_points_at_once_do(monkeypatch: pytest.MonkeyPatch, threads: int) -> None:
    x, ones = mixture(3000, 12, 60), np.ones(3000)
    whole = ward_labels(x, ones, 60, CPU, 0)
    monkeypatch.setattr(ward, "EXACT_UP_TO", 400)
    monkeypatch.setattr(ward, "GROUP_SIZE", 100)
    parts = ward_labels(x, ones, 60, Device(threads), 0)
    assert len(np.unique(parts)) == 60
    assert inertia(x, parts, ones) <= 1.03 * inertia(x, whole, ones)
    many = ward_labels(x, ones, 900, Device(threads), 0)
    assert len(np.unique(many)) == 900
    assert np.array_equal(many, ward_labels(x, ones, 900, Device(2), 0))


@pytest.mark.parametrize("scale", [1e-20, 1.0, 1e25])
def test_equal_points_and_extreme_values(scale: float) -> None:
    x = (np.repeat(np.eye(7, dtype=np.float32), [1, 2, 30, 4, 50, 6, 7], axis=0) * scale + scale).astype(np.float32)
    assert adjusted_rand_score(ward_labels(x, np.ones(100), 7, CPU, 0), np.nonzero(x - x.min())[1]) == 1
    assert len(np.unique(ward_labels(x, np.ones(100), 40, CPU, 0))) == 40
    lattice = np.stack(np.meshgrid(*[np.arange(12)] * 2), axis=-1).reshape(-1, 2).astype(np.float32)
    assert np.bincount(ward_labels(lattice, np.ones(144), 36, CPU, 0)).max() <= 9
