"""How much of a balanced choice is random, by how well halves agree beside those of a cloud without clusters."""

from pathlib import Path

import numpy as np
import pytest

from evenkeel.infra.workspace import StepRef
from evenkeel.tasks.sample.balanced.hedging import (
    ABSTAIN,
    ABSTAIN_FROM,
    AGREED,
    CLUSTERED,
    DISAGREED,
    UNCLUSTERED,
    doubt,
    hedged,
)
from evenkeel.tasks.sample.balanced.partition import MIN_AGREEMENT
from evenkeel.tasks.sample.config import SamplingConfig
from evenkeel.tasks.sample.selection import Selection
from evenkeel.tasks.sample.strategies.balanced import Balanced
from tests.sample.pools import make_run, sampled, write_pool

LEAVES = 60


def cloud(rng: np.random.Generator, rows: int, dimension: int) -> np.ndarray:
    """Return rows of one Gaussian."""
    return rng.normal(size=(rows, dimension))


def blurred(rng: np.random.Generator, rows: int, dimension: int) -> np.ndarray:
    """Return rows of 200 Gaussians that halves find badly, since they are many and wide."""
    return (rng.normal(0, 1.0, (200, dimension)))[rng.integers(0, 200, rows)] + rng.normal(0, 1.2, (rows, dimension))


def drawn(vectors: np.ndarray, folder: Path, **options: object) -> tuple[StepRef, np.ndarray]:
    """Sample a tenth of rows in leaves of very unequal size with `balanced`; return the step and each leaf's share."""
    order = np.argsort(vectors[:, 0])
    ends = np.cumsum(1.0 / np.arange(1, LEAVES + 1))
    leaf = np.empty(len(vectors), np.int64)
    leaf[order] = np.searchsorted(ends / ends[-1], (np.arange(len(vectors)) + 0.5) / len(vectors))
    inputs = write_pool(folder / "pool", vectors, levels=[leaf], parents=[np.arange(LEAVES) % 5], block_rows=2000)
    strategy = options if "name" in options else {"name": "balanced", "probe_rows": 2048, **options}
    config = SamplingConfig.model_validate({"strategy": strategy, "target": len(vectors) // 10})
    ref = sampled(config, inputs, make_run(folder))
    quotas = Selection.open(ref).quotas().to_pandas()
    return ref, (quotas["kept"] / quotas["size"]).to_numpy()


def test_a_pool_without_clusters_is_drawn_at_random(tmp_path: Path) -> None:
    """The same rows are kept as by the strategy `random`."""
    vectors = cloud(np.random.default_rng(0), 4000, 12)
    ref, _ = drawn(vectors, tmp_path)
    assert ref.facts["agreement"] < 1.5 * ref.facts["reference"]
    assert (ref.facts["chosen"], ref.facts["hedged"]) == ("random", 1.0)
    assert "random makes up 100%" in ref.facts["why"]
    pinned = Balanced().pinned(ref.facts)
    for same in ({"name": "random"}, {"rule": "random"}, pinned.model_dump()):
        other, _ = drawn(vectors, tmp_path, **same)
        assert (Selection.open(ref).row_ids() == Selection.open(other).row_ids()).all()
    told = ("chosen", "hedged", "agreement", "reference")
    assert [other.facts[name] for name in told] == [ref.facts[name] for name in told]  # so it is said again
    assert pinned.pinned(other.facts) == Balanced().pinned(other.facts) == pinned


@pytest.mark.long
def test_a_pool_whose_halves_agree_on_no_cells_is_drawn_at_random_and_a_handful_of_rows_evened_out(
    tmp_path: Path,
) -> None:
    """In 80 dimensions halves of a cloud agree by chance alone, so that no partition is stable at all."""
    vectors = cloud(np.random.default_rng(0), 2000, 80)
    ref, _ = drawn(vectors, tmp_path)
    assert "imbalance" not in ref.facts
    assert (ref.facts["chosen"], ref.facts["hedged"]) == ("random", 1.0)
    assert ref.facts["agreement"] <= MIN_AGREEMENT
    other, _ = drawn(vectors, tmp_path, name="random")
    assert (Selection.open(ref).row_ids() == Selection.open(other).row_ids()).all()
    assert drawn(vectors, tmp_path, abstain=False)[0].facts["chosen"] == "flat"
    for few in (vectors[:60], np.ones_like(vectors)):  # too few rows for cells, or all the same: nothing is known
        assert drawn(few, tmp_path / str(len(few)))[0].facts["chosen"] == "flat"


def test_abstain_off_evens_it_out_all_the_same(tmp_path: Path) -> None:
    ref, rate = drawn(cloud(np.random.default_rng(0), 4000, 12), tmp_path, abstain=False)
    assert ref.facts["hedged"] == 0
    assert "random" not in ref.facts["chosen"]
    assert rate.max() > 5 * rate.min()


def test_clusters_that_halves_agree_on_far_better_than_by_those_of_a_cloud_are_evened_out(tmp_path: Path) -> None:
    """In 64 dimensions 200 wide clusters are hard to find again: by agreement alone all would be left to chance."""
    ref, _ = drawn(blurred(np.random.default_rng(0), 4000, 64), tmp_path)
    assert ref.facts["agreement"] < ABSTAIN
    assert doubt(ref.facts["agreement"], None) == 1
    assert ref.facts["agreement"] > CLUSTERED * ref.facts["reference"]
    assert ref.facts["hedged"] == 0
    assert ref.facts["chosen"] != "random"


def test_the_share_that_is_random_falls_with_agreement_and_with_how_far_it_is_above_that_of_a_cloud() -> None:
    assert [doubt(a, None) for a in (AGREED, DISAGREED, ABSTAIN_FROM, ABSTAIN, 0)] == [0, 0.5, 0.5, 1, 1]
    assert doubt(0.3, 0.3 / UNCLUSTERED) == 1
    assert doubt(0.3, 0.3 / CLUSTERED) == 0
    assert doubt(0.3, 0.3 / (CLUSTERED + UNCLUSTERED) * 2) == pytest.approx(0.5)
    assert (doubt(0.3, 0.0), doubt(0.03, 0.0)) == (0, 1)  # next to nothing is no better than nothing
    for reference in (None, 0.1, 0.2):
        shares = [doubt(agreement, reference) for agreement in np.linspace(0, 1, 201)]
        assert (np.diff(shares) <= 1e-12).all()
        assert 0 <= min(shares) <= max(shares) <= 1


@pytest.mark.parametrize("parts", [["flat"], ["flat", "cut-2", "cut-2"], ["a", "b", "c", "d"], list("abcdef")])
def test_random_makes_up_the_share_that_is_asked_for(parts: list[str]) -> None:
    asked = np.linspace(0, 0.75, 301)
    found = [hedged(parts, share) for share in asked]
    shares = np.array([one.count("random") / len(one) for one in found])
    assert (shares[0], shares[-1]) == (0, 0.75)
    assert np.abs(shares - asked).max() <= 1 / 13
    assert (np.diff(shares) >= 0).all()
    for one in found:  # of the others none gains
        assert {one.count(name) / (len(one) - one.count("random")) for name in parts} == {
            parts.count(name) / len(parts) for name in parts
        }


@pytest.mark.parametrize("parts", [["flat"], ["flat", "cut-2", "cut-2"], ["a", "b", "c", "d"], list("abcdef")])
def test_the_less_the_halves_agree_the_more_of_the_choice_is_random_and_never_at_one_stroke(parts: list[str]) -> None:
    found = [hedged(parts, doubt(agreement, None)) for agreement in np.linspace(0.6, ABSTAIN, 1201)]
    shares = np.array([one.count("random") / len(one) for one in found])
    assert (shares[0], shares[-1]) == (0, 1)
    assert (np.diff(shares) >= 0).all()
    assert np.diff(shares[shares < 1]).max() <= 1 / 7
    assert shares[shares < 1].max() >= 0.74  # the last step is the largest


def test_the_choice_stays_as_it_is_or_becomes_random() -> None:
    assert hedged(["flat", "cut-2"], 0.0) == ["flat", "cut-2"]
    assert hedged(["flat", "cut-2"], 0.5) == ["flat", "cut-2", "random", "random"]
    assert hedged(["flat", "cut-2"], 0.8) == ["random"]
    assert hedged(["random"], 0.5) == ["random"]
