"""The measures of balance agree with their definitions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import entropy

from evenkeel.tasks.measure.balance import balance

COUNTS = st.lists(st.integers(0, 10_000), min_size=1, max_size=50).filter(any)


@given(COUNTS)
def test_measures_agree_with_scipy_and_with_each_other(counts):
    shares = np.array(counts) / np.sum(counts)
    found = balance(counts)
    assert found["kl_uniform"] == pytest.approx(entropy(shares, np.full(len(shares), 1 / len(shares))), abs=1e-9)
    assert found["hill2"] <= found["hill1"] * (1 + 1e-9) <= found["hill0"] * (1 + 1e-8)
    assert found["coverage"] == pytest.approx(found["hill0"] / len(counts))
    gini = np.abs(shares[:, None] - shares[None, :]).sum() / (2 * len(shares))
    assert found["gini"] == pytest.approx(gini, abs=1e-9)


@given(st.integers(1, 100), st.integers(1, 1000))
def test_even_counts_are_perfectly_balanced(cells, count):
    found = balance([count] * cells)
    assert found["entropy"] == pytest.approx(1.0)
    assert found["kl_uniform"] == pytest.approx(0.0, abs=1e-9)
    assert found["hill1"] == pytest.approx(cells)


def test_cells_that_the_pool_never_had_do_not_count():
    assert balance([5, 5, 0], [True, True, False])["coverage"] == 1.0
    assert balance([5, 5, 0])["coverage"] == pytest.approx(2 / 3)


def test_nothing_kept_is_the_worst():
    found = balance([0, 0, 0])
    assert found["kl_uniform"] == pytest.approx(np.log(3))
    assert found["entropy"] == found["coverage"] == 0.0
