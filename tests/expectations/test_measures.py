"""The formulas agree with independent ones, and the margins with how far samples really scatter."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from evenkeel.expectations import measures

COUNTS = (
    st.lists(st.integers(0, 500), min_size=2, max_size=40)
    .filter(lambda counts: sum(counts) > 0)
    .map(lambda counts: np.array(counts, dtype=np.float64))
)


@given(COUNTS)
@settings(max_examples=60)
def test_formulas_agree_with_scipy_and_their_definitions(counts: np.ndarray) -> None:
    shares = counts / counts.sum()
    assert measures.entropy(counts) == pytest.approx(stats.entropy(shares), abs=1e-12)
    assert measures.kl_uniform(counts) == pytest.approx(
        stats.entropy(shares, np.full(len(shares), 1 / len(shares))), abs=1e-12
    )
    pairwise = np.abs(shares[:, None] - shares[None, :]).mean() / 2 / shares.mean()
    assert measures.gini(counts) == pytest.approx(pairwise, abs=1e-12)
    assert measures.hill(counts, 0) >= measures.hill(counts, 1) - 1e-9 >= measures.hill(counts, 2) - 2e-9
    assert 0 <= measures.normalised_entropy(counts) <= 1 + 1e-12


@given(COUNTS)
@settings(max_examples=60, deadline=None)
def test_balance_holds_the_measures_by_name(counts: np.ndarray) -> None:
    found = measures.balance(counts)
    assert list(found) == list(measures.MEASURES)
    assert found["entropy"] == measures.normalised_entropy(counts)
    assert found["hill1"] == measures.hill(counts, 1)
    assert found["coverage"] == pytest.approx(found["hill0"] / len(counts))
    assert found["smallest_share"] <= 1 / len(counts) <= found["largest_share"] * (1 + 1e-12)


@given(st.integers(1, 100), st.integers(1, 1000))
@settings(deadline=None)
def test_equal_counts_are_perfectly_balanced(classes: int, rows: int) -> None:
    found = measures.balance([rows] * classes)
    assert found["entropy"] == pytest.approx(1.0)
    assert found["kl_uniform"] == pytest.approx(0.0, abs=1e-9)
    assert found["gini"] == pytest.approx(0.0, abs=1e-9)
    assert found["hill1"] == pytest.approx(classes)


def test_classes_without_rows_in_the_pool_do_not_count() -> None:
    assert measures.balance([5, 5, 0], [True, True, False])["coverage"] == 1.0
    assert measures.balance([5, 5, 0])["coverage"] == pytest.approx(2 / 3)


def test_a_version_without_rows_is_as_unbalanced_as_can_be() -> None:
    found = measures.balance([0, 0, 0])
    assert found["kl_uniform"] == pytest.approx(np.log(3))
    assert found["entropy"] == found["coverage"] == 0.0
    assert measures.balance([])["kl_uniform"] == 0.0


@given(COUNTS, st.integers(1, 20_000))
@settings(max_examples=100)
def test_the_most_even_allocation_is_feasible_exact_and_flat(sizes: np.ndarray, rows: int) -> None:
    even = measures.attainable(sizes, rows)
    assert even.sum() == pytest.approx(min(rows, sizes.sum()))
    assert (even <= sizes + 1e-9).all()
    assert np.ptp(even[even < sizes - 1e-9]) < 1e-6 if (even < sizes - 1e-9).any() else True
    assert (even <= even[even < sizes - 1e-9].max(initial=np.inf if rows >= sizes.sum() else 0) + 1e-6).all()


@given(COUNTS)
@settings(max_examples=40)
def test_distances_are_zero_to_oneself_and_positive_otherwise(counts: np.ndarray) -> None:
    other = counts[::-1]
    for distance in (measures.psi, measures.kl, measures.moved):
        assert distance(counts, counts) == pytest.approx(0, abs=1e-12)
        assert distance(counts, other) >= 0


@pytest.mark.long
def test_the_null_margin_covers_two_samples_of_one_distribution() -> None:
    rng = np.random.default_rng(1)
    shares = 1 / np.arange(1, 61)
    shares /= shares.sum()
    for distance in (measures.psi, measures.moved, measures.kl):
        for _ in range(40):
            one, other = rng.multinomial(5000, shares).astype(float), rng.multinomial(8000, shares).astype(float)
            assert distance(one, other) < measures.null_margin(distance, one, other)


def test_margins_shrink_with_rows_and_vanish_for_very_many_classes() -> None:
    few, many = np.full(50, 10.0), np.full(50, 10_000.0)
    assert measures.bootstrap_margin(measures.gini, few) > 10 * measures.bootstrap_margin(measures.gini, many) > 0
    assert measures.bootstrap_margin(measures.gini, np.ones(measures.DRAWS + 1)) == 0


def test_margins_are_the_same_every_time() -> None:
    counts = np.arange(1.0, 200.0)
    assert measures.bootstrap_margin(measures.entropy, counts) == measures.bootstrap_margin(measures.entropy, counts)
