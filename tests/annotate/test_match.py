"""Matching: pairs are of both sides, equal where asked and alike elsewhere; a planted difference goes."""

from pathlib import Path

import numpy as np
import pytest

from evenkeel.infra.errors import RecipeError
from evenkeel.infra.workspace import StepRef
from evenkeel.tasks.annotate.kinds.match import Match
from tests.annotate.annotated import annotated
from tests.sample.pools import write_pool


def pool(folder: Path, rows: int = 4000, block_rows: int = 700) -> dict[str, StepRef]:
    """A third is treated, richer by 0.8 standard deviations; states differ too."""
    draw = np.random.default_rng(8)
    treated = draw.random(rows) < 0.33
    income, amount = draw.normal(size=(2, rows)) + 0.8 * treated
    state = np.where(draw.random(rows) < np.where(treated, 0.7, 0.3), "is", "no")
    income[3] = np.nan
    return write_pool(
        folder,
        draw.normal(size=(rows, 2)),
        levels=[np.zeros(rows, int)],
        groups={"side": ["a" if one else "b" for one in treated], "state": state.tolist()},
        scores={"income": income, "amount": amount * 3 + 50},
        block_rows=block_rows,
    )


OPTIONS = {"treated": "side == 'a'", "on": ["income", "amount"], "exact": ["state"]}


def test_a_planted_difference_goes(tmp_path: Path) -> None:
    table, (ref,) = annotated(
        pool(tmp_path), tmp_path, Match.model_validate(OPTIONS), names=("side", "state", "income", "amount")
    )
    frame = table.to_pandas()
    pairs = frame[frame["ek_pair"].notna()]
    assert pairs.groupby("ek_pair")["side"].agg(sorted).map(tuple).unique().tolist() == [("a", "b")]
    assert pairs.groupby("ek_pair")["state"].nunique().max() == 1
    assert len(pairs) == 2 * ref.facts["pairs"] > 0.6 * 2 * ref.facts["treated"]
    assert (frame["ek_treated"] == (frame["side"] == "a"))[frame["income"].notna()].all()
    assert frame["ek_pair"][frame["income"].isna()].isna().all()
    for name in ("income", "amount"):
        sides = [pairs[pairs["side"] == side][name].mean() for side in "ab"]
        scale = np.sqrt(np.mean([frame[frame["side"] == side][name].var(ddof=0) for side in "ab"]))
        assert abs(sides[0] - sides[1]) / scale <= 0.1
        assert ref.facts["difference_after"][name] == pytest.approx((sides[0] - sides[1]) / scale, abs=1e-4)
        assert ref.facts["difference_before"][name] > 0.7


def test_the_same_pairs_for_any_cut_into_blocks(tmp_path: Path) -> None:
    one, _ = annotated(pool(tmp_path / "a", 900), tmp_path / "a", Match.model_validate(OPTIONS))
    other, _ = annotated(pool(tmp_path / "b", 900, 900), tmp_path / "b", Match.model_validate(OPTIONS))
    assert one["ek_pair"].to_pylist() == other["ek_pair"].to_pylist()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({**OPTIONS, "treated": "side == 'nobody'"}, "there is one"),
        ({**OPTIONS, "treated": "side = ="}, "match, treated"),
        ({**OPTIONS, "on": ["side"]}, "does not hold numbers"),
        ({**OPTIONS, "exact": ["side"]}, "no two rows are alike"),
    ],
)
def test_what_cannot_be_matched_is_named(tmp_path: Path, options: dict[str, object], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        annotated(pool(tmp_path, 300), tmp_path, Match.model_validate(options))
