"""Leverages are those of the formula, sum to the rank, and make a better regression sample than chance."""

from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_diabetes

from evenkeel.tasks.signal.kinds.leverage import Leverage
from tests.sample.pools import write_pool
from tests.signal.values import signal_of, values_of


@pytest.mark.parametrize("rows_per_block", [300, 37])
def test_leverages_are_those_of_the_hat_matrix_and_sum_to_the_rank(tmp_path: Path, rows_per_block: int) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(5, 1, (300, 12)).astype(np.float32)
    x[:, 11] = x[:, 0] + x[:, 1]  # a column that is the sum of two others
    x[:, 10] = 0
    done = write_pool(tmp_path, x, levels=[np.zeros(300, int)], block_rows=rows_per_block)
    found, ref = signal_of(Leverage(name="leverage"), done, tmp_path, threads=2)
    basis = np.linalg.svd(x[:, :10].astype(np.float64), full_matrices=False)[0]
    np.testing.assert_allclose(found, (basis**2).sum(axis=1), rtol=1e-4)
    assert ref.facts["rank"] == 10
    assert found.sum() == pytest.approx(10, abs=1e-6)


def test_a_ridge_damps(tmp_path: Path) -> None:
    x = np.random.default_rng(1).normal(0, 1, (80, 5))
    done = write_pool(tmp_path, x, levels=[np.zeros(80, int)])
    found = values_of(Leverage(name="leverage", ridge=3.0), done, tmp_path)
    x = x.astype(np.float32).astype(np.float64)
    np.testing.assert_allclose(found, np.einsum("ij,jk,ik->i", x, np.linalg.inv(x.T @ x + 3 * np.eye(5)), x), rtol=1e-5)


def test_a_regression_on_rows_drawn_by_leverage_beats_one_on_rows_drawn_evenly(tmp_path: Path) -> None:
    """Diabetes twenty times, each row stretched by a heavy-tailed factor; 200 rows, weighted by 1 / chance."""
    rng = np.random.default_rng(0)
    data = load_diabetes()
    stretch = 1 + rng.pareto(3, 20 * len(data.target))
    x = (np.tile(data.data, (20, 1)) * stretch[:, None]).astype(np.float32)
    noise = rng.normal(0, np.std(data.target) / 2, len(x))
    y = np.tile(data.target - data.target.mean(), 20) * stretch + noise
    done = write_pool(tmp_path, x, levels=[np.zeros(len(x), int)], block_rows=3000)
    leverage = values_of(Leverage(name="leverage"), done, tmp_path)
    x = x.astype(np.float64)

    def excess(chance: np.ndarray) -> float:
        best = np.sum((y - x @ np.linalg.lstsq(x, y)[0]) ** 2)
        errors = []
        for _ in range(60):
            drawn = rng.choice(len(x), 200, p=chance)
            root = np.sqrt(1 / chance[drawn])
            fitted = np.linalg.lstsq(x[drawn] * root[:, None], y[drawn] * root)[0]
            errors.append(np.sum((y - x @ fitted) ** 2) / best - 1)
        return float(np.mean(errors))

    by_leverage, evenly = excess(leverage / leverage.sum()), excess(np.full(len(x), 1 / len(x)))
    assert by_leverage <= 0.6 * evenly, (by_leverage, evenly)
