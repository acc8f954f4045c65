"""Ranks, bins and mixtures by group equal a brute force, and are the same for any blocks."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy.stats import rankdata

from evenkeel.infra.errors import InputError, RecipeError
from evenkeel.infra.workspace import StepRef
from evenkeel.tasks.signal import groups as groups_module
from evenkeel.tasks.signal import quantiles
from evenkeel.tasks.signal.kinds.mixture import Mixture
from evenkeel.tasks.signal.kinds.rank import Rank
from evenkeel.tasks.signal.kinds.window import Window
from evenkeel.tasks.signal.quantiles import Ranks, add_counts, count_between, cuts_of
from tests.examples import most, telling
from tests.sample.pools import write_pool
from tests.signal.values import signal_of, values_of

ROWS = 400


@pytest.fixture
def columns() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    loss = np.round(rng.gamma(2, 1, ROWS), 2)
    loss[rng.random(ROWS) < 0.05] = np.nan
    return {
        "language": np.array(["de", "en", "is"])[rng.choice(3, ROWS, p=[0.5, 0.4, 0.1])],
        "loss": loss,
        "clean": rng.random(ROWS),
    }


def pool(folder: Path, columns: dict[str, np.ndarray], block_rows: int = 64) -> dict[str, StepRef]:
    return write_pool(
        folder,
        np.ones((ROWS, 1)),
        levels=[np.zeros(ROWS, int)],
        groups={"language": columns["language"].tolist()},
        scores={"loss": columns["loss"], "clean": columns["clean"]},
        block_rows=block_rows,
    )


def by_group(numbers: np.ndarray, group: np.ndarray) -> np.ndarray:
    """Return the ranks by sorting every group."""
    ranks = np.full(len(numbers), np.nan)
    for value in np.unique(group):
        mine = np.flatnonzero((group == value) & ~np.isnan(numbers))
        ranks[mine] = (rankdata(numbers[mine]) - 0.5) / len(mine)
    return ranks


@pytest.mark.parametrize("by", ["", "language"])
def test_ranks_equal_a_brute_force(tmp_path: Path, columns: dict[str, np.ndarray], by: str) -> None:
    found, ref = signal_of(Rank(name="r", of="loss", by=by), pool(tmp_path, columns), tmp_path)
    group = columns["language"] if by else np.zeros(ROWS)
    np.testing.assert_allclose(found, by_group(columns["loss"].astype(np.float32), group))
    assert ref.facts["rank_error"] == 0
    assert ref.facts["groups"] == (3 if by else 1)


def test_a_large_group_is_ranked_within_the_stated_error_in_any_blocks(
    tmp_path: Path, columns: dict[str, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quantiles, "MOST_CUTS", 20)
    monkeypatch.setattr(quantiles, "FEWEST_CUTS", 20)
    found, facts = [], []
    for rows, threads in ((ROWS, 1), (37, 3)):
        folder = tmp_path / str(rows)
        values, ref = signal_of(Rank(name="r", of="clean", by="language"), pool(folder, columns, rows), folder, threads)
        found.append(values)
        facts.append(ref.facts["rank_error"])
    np.testing.assert_array_equal(found[0], found[1])
    true = by_group(columns["clean"].astype(np.float32), columns["language"])
    assert facts[0] == facts[1]
    assert 0 < np.abs(found[0] - true).max() <= facts[0] < 0.5


@settings(max_examples=most(160))
@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(-5, 5)), min_size=1, max_size=60),
    st.integers(0, 8),
    st.floats(0.01, 1),
)
def test_a_sketch_of_parts_is_exact_at_its_cuts(rows: list[tuple[int, int]], cuts: int, share: float) -> None:
    """Whatever the cuts: counts add up, ranks are within the error, and quantiles are where a sort has them."""
    codes, numbers = np.array([g for g, _ in rows], np.int32), np.array([float(v) for _, v in rows])
    every = cuts == 8
    chosen = slice(None) if every else slice(0, cuts)
    cut, starts = cuts_of([(codes[chosen], numbers[chosen])], 3)
    halves = [count_between(numbers[part], codes[part], cut, starts) for part in (slice(0, 7), slice(7, None))]
    ranks = Ranks(cut, starts, add_counts(*halves))
    assert ranks.rows().tolist() == np.bincount(codes, minlength=3).tolist()
    true = by_group(numbers, codes)
    assert np.abs(ranks.of(numbers, codes) - true).max() <= ranks.error() + 1e-12
    if every:
        np.testing.assert_allclose(ranks.of(numbers, codes), true)
        for group in np.unique(codes):
            expected = np.quantile(numbers[codes == group], share, method="inverted_cdf")
            assert ranks.quantile(share)[group] == expected
    assert np.isnan(ranks.quantile(share)[np.bincount(codes, minlength=3) == 0]).all()


def test_bins_of_loss_are_equally_large_and_go_from_easy_to_hard(
    tmp_path: Path, columns: dict[str, np.ndarray]
) -> None:
    bins = values_of(Window(name="w", of="clean", bins=8), pool(tmp_path, columns), tmp_path)
    assert np.bincount(bins.astype(int)).tolist() == [ROWS // 8] * 8
    order = np.argsort(columns["clean"])
    assert np.all(np.diff(bins[order]) >= 0)


@pytest.mark.parametrize("by", telling(["", "language"], "language"))
@pytest.mark.parametrize("normalise", telling(["rank", "zscore", "minmax"], "rank", "zscore"))
@pytest.mark.long
def test_a_mixture_is_a_weighted_sum_of_normalised_columns(
    tmp_path: Path, columns: dict[str, np.ndarray], normalise: str, by: str
) -> None:
    signal = Mixture.model_validate(
        {"name": "m", "mix": {"clean": 0.7, "-loss": 0.3}, "normalise": normalise, "by": by}
    )
    group = columns["language"] if by else np.zeros(ROWS)

    def scaled(numbers: np.ndarray) -> np.ndarray:
        if normalise == "rank":
            return by_group(numbers, group)
        out = np.full(ROWS, np.nan)
        for value in np.unique(group):
            mine = group == value
            part = numbers[mine]
            low = np.nanmean(part) if normalise == "zscore" else np.nanmin(part)
            out[mine] = (part - low) / (np.nanstd(part) if normalise == "zscore" else np.nanmax(part) - low)
        return out

    clean, loss = (columns[name].astype(np.float32).astype(float) for name in ("clean", "loss"))
    found = [values_of(signal, pool(tmp_path / str(n), columns, n), tmp_path / str(n)) for n in (64, 37)]
    np.testing.assert_allclose(found[0], 0.7 * scaled(clean) - 0.3 * scaled(loss), atol=1e-12)
    np.testing.assert_allclose(found[0], found[1], rtol=1e-12)
    assert np.isnan(found[0]).sum() == np.isnan(loss).sum() > 0


def test_what_cannot_be_ranked_or_mixed_is_named(
    tmp_path: Path, columns: dict[str, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    done = pool(tmp_path, columns)
    with pytest.raises(RecipeError, match="'language' does not hold numbers"):
        values_of(Rank(name="r", of="language"), done, tmp_path)
    with pytest.raises(RecipeError, match="no column 'lost'"):
        values_of(Rank(name="r", of="lost"), done, tmp_path)
    with pytest.raises(ValidationError, match="clean is named twice"):
        Mixture(name="m", mix={"clean": 1, "-clean": 2})
    columns["clean"][7] = np.inf
    with pytest.raises(InputError, match="'clean' is infinite in 1 row"):
        values_of(Mixture(name="m", mix={"clean": 1}, normalise="zscore"), pool(tmp_path / "inf", columns), tmp_path)
    monkeypatch.setattr(groups_module, "MAX_GROUPS", 2)
    with pytest.raises(RecipeError, match="too many values to group rows by"):
        values_of(Rank(name="r", of="loss", by="language"), done, tmp_path)
