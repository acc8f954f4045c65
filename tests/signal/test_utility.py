"""The best cut-off of a filter moves with the epochs that a model is trained for."""

import numpy as np
import pytest

from evenkeel.infra.errors import RecipeError
from evenkeel.tasks.signal.utility import best_bins, utility_of_best

UTILITY, ROWS = np.linspace(1, 0.05, 20), np.full(20, 50)


def test_utility_is_the_sum_over_every_time_that_a_row_is_seen() -> None:
    found = utility_of_best(UTILITY, ROWS, epochs=2.0, half_life=3.0)
    for bins in (5, 10, 20):  # 8, 4 and 2 passes over what is kept
        passes = 2 * 20 // bins
        times = sum(0.5 ** (k / 3) for k in range(passes))
        assert found[bins - 1] == pytest.approx(times * (UTILITY[:bins] * 50).sum())


def test_longer_training_keeps_more() -> None:
    kept = [best_bins(UTILITY, ROWS, epochs) for epochs in (0.05, 0.5, 1, 2, 5, 10, 50)]
    assert kept == sorted(kept)
    assert kept[0] == 1
    assert kept[-1] == 20
    assert len(set(kept)) > 3


def test_rows_that_stay_useful_when_repeated_let_a_filter_be_strict() -> None:
    assert best_bins(UTILITY, ROWS, 2, half_life=50) < best_bins(UTILITY, ROWS, 2, half_life=1)


@pytest.mark.parametrize(("utility", "epochs"), [([1.0, -0.1], 1.0), ([1.0, 0.5], 0.0), ([np.nan, 0.5], 1.0)])
def test_what_has_no_utility_is_refused(utility: list[float], epochs: float) -> None:
    with pytest.raises(RecipeError, match="cannot be reckoned"):
        best_bins(np.array(utility), np.array([5, 5]), epochs)
