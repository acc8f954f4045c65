"""Distances agree with their definitions over all pairs of rows, add up over blocks, and know their noise."""

import numpy as np
import pytest
from scipy.linalg import sqrtm

from evenkeel.tasks.distance.elsewhere import sum_vectors
from evenkeel.tasks.distance.measures import discrepancy, discrepancy_by_noise, divergence, frechet_distances
from evenkeel.tasks.distance.space import Features, Space
from evenkeel.tasks.distance.sums import SetSummary, SetSums

D = 6
SPACE = Space("test", float(D), np.zeros(D, np.float32), np.eye(D, dtype=np.float32))
FEATURES = Features.of(SPACE)


def summary(x: np.ndarray, first: int = 0) -> SetSummary:
    return sum_vectors(x.astype(np.float32), FEATURES, first).summary(0)


def kernel(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.asarray(np.exp(-((x[:, None] - y) ** 2).sum(-1) / (2 * SPACE.width)))


def test_the_discrepancy_is_that_of_all_pairs_of_rows() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(0, 1, (300, D)), rng.normal(0.8, 1, (200, D))
    shared = x[:40]
    y = np.concatenate([y, shared])
    own = [(kernel(part, part).sum() - len(part)) / (len(part) * (len(part) - 1)) for part in (x, y)]
    cross = (kernel(x, y).sum() - len(shared)) / (len(x) * len(y) - len(shared))
    assert discrepancy(summary(x), summary(y, 260), 40) == pytest.approx(sum(own) - 2 * cross, abs=0.02)


def test_sums_add_up_and_copies_count() -> None:
    rng = np.random.default_rng(1)
    x, identity = rng.normal(0, 1, (50, D)).astype(np.float32), rng.integers(0, 2**63, 50).astype(np.uint64)
    copies = rng.integers(0, 3, (50, 2))
    whole = SetSums.of(*FEATURES(x), copies, identity, 1)
    parts = [SetSums.of(*FEATURES(x[part]), copies[part], identity[part], 1) for part in (slice(0, 20), slice(20, 50))]
    for one, other in zip(whole, parts[0].add(parts[1]), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-9)
    repeated = summary(np.repeat(x, copies[:, 0], axis=0))
    np.testing.assert_allclose(whole.summary(0).products, repeated.products, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(whole.summary(0).waves, repeated.waves, atol=1e-5)
    assert whole.pairs[0, 1] == (copies[:, 0] * copies[:, 1]).sum()


def test_frechet_is_that_of_the_definition() -> None:
    rng = np.random.default_rng(2)
    x, y = rng.normal(0, 1, (90, D)) @ rng.normal(0, 1, (D, D)), rng.normal(1, 2, (70, D))
    c, t = np.cov(x.T, bias=True), np.cov(y.T, bias=True)
    exact = ((x.mean(0) - y.mean(0)) ** 2).sum() + np.trace(c + t - 2 * np.real(sqrtm(sqrtm(t) @ c @ sqrtm(t))))
    assert frechet_distances([summary(x)], summary(y))[0] == pytest.approx(exact, rel=1e-4)


def test_noise_bounds_what_two_draws_of_one_set_come_to_and_little_more() -> None:
    rng = np.random.default_rng(3)
    ratios = []
    for _ in range(30):
        a, b = (summary(rng.normal(0, 1, (n, D))) for n in (150, 100))
        ratios.append(discrepancy(a, b) / discrepancy_by_noise(a, b))
    assert max(ratios) < 1
    assert np.quantile(ratios, 0.95) > 0.3, "the bound is not far above what noise brings"
    moved = summary(rng.normal(0.6, 1, (150, D)))
    assert discrepancy(moved, b) > 3 * discrepancy_by_noise(moved, b)


def test_a_set_without_rows_and_one_of_one_row() -> None:
    rng = np.random.default_rng(4)
    none, one, many = (summary(rng.normal(0, 1, (n, D))) for n in (0, 1, 50))
    assert np.isnan(discrepancy(none, many))
    assert discrepancy(many, many, many.squares) == pytest.approx(0, abs=1e-12)
    assert 0 < discrepancy(one, many) < 2
    assert np.isfinite(frechet_distances([one, many], many)).all()


def test_divergence_is_that_of_the_definition() -> None:
    wanted, counts, pool = np.array([3, 1, 0]), np.array([50, 50, 100]), np.array([1, 1, 2])
    assert divergence(wanted, counts, pool) == pytest.approx(0.75 * np.log(3) + 0.25 * np.log(1), abs=1e-12)
