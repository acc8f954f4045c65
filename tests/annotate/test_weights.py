"""Weights: margins hold to a millionth, sampling can be undone, its cost is told, what cannot be met is named."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from evenkeel.infra.errors import InputError, RecipeError
from evenkeel.infra.workspace import StepRef
from evenkeel.tasks.annotate.balance.newton import Cells, balance
from evenkeel.tasks.annotate.kinds.weights import Weights
from evenkeel.tasks.dedup.target_set import TargetSet
from evenkeel.tasks.sample.config import SamplingConfig
from tests.annotate.annotated import annotated
from tests.sample.pools import write_pool

ROWS = 3000


def pool(folder: Path, block_rows: int = 500) -> dict[str, StepRef]:
    draw = np.random.default_rng(3)
    leaf = np.minimum(draw.geometric(0.2, ROWS) - 1, 11)
    language = draw.choice(["en", "de", "is"], ROWS, p=[0.8, 0.15, 0.05])
    source = np.where(draw.random(ROWS) < np.where(language == "en", 0.9, 0.4), "web", "code")
    length = draw.lognormal(1, 0.7, ROWS) * (1 + leaf)
    length[7] = np.nan
    return write_pool(
        folder,
        np.stack([leaf * 10 + draw.normal(0, 0.1, ROWS), leaf % 5], axis=1),
        levels=[leaf],
        parents=[np.arange(12) // 3],
        groups={"language": language.tolist(), "source": source.tolist()},
        scores={"length": length},
        block_rows=block_rows,
    )


def weighed(
    folder: Path, rows: int | str = "100%", strategy: str = "random", block_rows: int = 500, **options: object
) -> tuple[pd.DataFrame, StepRef]:
    one = Weights.model_validate({"name": "even", **options})
    config = SamplingConfig.model_validate({"strategy": strategy, "target": rows})
    names = ("language", "source", "length")
    table, (ref,) = annotated(pool(folder, block_rows), folder, one, config=config, names=names)
    return table.to_pandas(), ref


def shares(frame: pd.DataFrame, column: str) -> dict[object, float]:
    weight = frame["ek_weight_even"] * frame["copies"]
    return {key: float(share) for key, share in (weight.groupby(frame[column]).sum() / weight.sum()).items()}


def test_several_margins_hold_at_once_to_a_millionth(tmp_path: Path) -> None:
    margins = {"language": "uniform", "source": {"web": 0.5, "code": 0.5}, "length": "pool"}
    frame, ref = weighed(tmp_path, 1000, "flat", margins=margins)
    assert shares(frame, "language") == pytest.approx({"en": 1 / 3, "de": 1 / 3, "is": 1 / 3}, abs=1e-6)
    assert shares(frame, "source") == pytest.approx({"web": 0.5, "code": 0.5}, abs=1e-6)
    there = frame[frame["length"].notna()]
    weight = there["ek_weight_even"] * there["copies"]
    full, _ = weighed(tmp_path / "all", margins={"language": "pool"})
    low, high = frame["length"].min(), frame["length"].max()
    wanted = full["length"].mean()
    assert abs((weight * (there["length"] - wanted)).sum() / weight.sum()) <= 1e-6 * (high - low)
    assert (frame["ek_weight_even"] * frame["copies"]).sum() / frame["copies"].sum() == pytest.approx(1, abs=1e-9)
    every = frame["ek_weight_even"].to_numpy()
    assert ref.facts["effective_sample_size"] == pytest.approx(every.sum() ** 2 / (every**2).sum(), rel=0.01)
    assert 0.1 < ref.facts["effective_share"] < 0.9


def test_weights_undo_the_balance(tmp_path: Path) -> None:
    frame, _ = weighed(tmp_path, 600, "flat", to="pool", features="level-1")
    full, _ = weighed(tmp_path / "all", margins={"language": "pool"})
    natural = (full["leaf"].value_counts() / len(full)).to_dict()
    kept = {leaf: share for leaf, share in natural.items() if leaf in set(frame["leaf"])}
    assert shares(frame, "leaf") == pytest.approx({leaf: share / sum(kept.values()) for leaf, share in kept.items()})
    plain = frame["leaf"].value_counts(normalize=True)
    assert abs(plain - pd.Series(natural)).max() > 0.05


def test_of_all_weights_that_meet_the_margins_these_are_the_most_even(tmp_path: Path) -> None:
    """Raking a table by hand, margin after margin until nothing moves, gives the same cells."""
    frame, _ = weighed(tmp_path, margins={"language": "uniform", "source": {"web": 0.3}})
    table = pd.crosstab(frame["language"], frame["source"]).to_numpy().astype(float)
    raked = table / table.sum()
    for _ in range(500):
        raked *= (1 / 3) / raked.sum(1, keepdims=True)
        raked *= np.array([0.7, 0.3]) / raked.sum(0)
    found = frame.pivot_table("ek_weight_even", "language", "source", "sum").to_numpy()
    assert found / found.sum() == pytest.approx(raked, abs=1e-6)


def test_the_same_weights_for_any_cut_into_blocks(tmp_path: Path) -> None:
    margins = {"language": "uniform", "length": "pool", "level-2": "uniform"}
    one, _ = weighed(tmp_path / "a", 900, margins=margins)
    other, _ = weighed(tmp_path / "b", 900, block_rows=3000, margins=margins)
    assert one["ek_weight_even"].to_numpy() == pytest.approx(other["ek_weight_even"].to_numpy(), rel=1e-6)


def test_a_target_set_is_resembled_cluster_by_cluster(tmp_path: Path) -> None:
    np.save(tmp_path / "target.npy", np.repeat([[20.0, 2.0], [50.0, 0.0]], [30, 10], axis=0).astype(np.float32))
    target = TargetSet(uri=str(tmp_path / "target.npy"))
    one = Weights(name="even", to="target_set").with_target(target)
    options = {name: value for name, value in one.model_dump().items() if name not in ("kind", "name")}
    frame, ref = weighed(tmp_path, **options)
    found = {leaf: share for leaf, share in shares(frame, "leaf").items() if share > 1e-9}
    assert found == pytest.approx({2: 0.75, 5: 0.25}, abs=1e-6)
    assert ref.facts["target_without_kept_rows"] == 0
    np.save(tmp_path / "wrong.npy", np.ones((3, 5), np.float32))
    options["target"] = {"uri": str(tmp_path / "wrong.npy")}
    with pytest.raises(InputError, match="dimension"):
        weighed(tmp_path / "w", **options)


@pytest.mark.parametrize(
    ("margins", "message"),
    [
        ({"language": {"fo": 0.2}}, "language=fo is to have a share of 0.2 and has no kept row"),
        ({"length": 1e9}, "the mean of length is to be 1e"),
        ({"language": 3.0}, "language holds no numbers"),
        ({"length": "uniform"}, "length holds numbers"),
        ({"language": {"is": 1.0}, "level-1": "uniform"}, "misses by"),
    ],
)
@pytest.mark.long
def test_margins_that_cannot_be_met_are_named(tmp_path: Path, margins: dict[str, object], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        weighed(tmp_path, 60, margins=margins)


def test_margins_that_contradict_each_other_say_which_is_missed() -> None:
    codes = np.array([[0, 0], [1, 1]], np.int32)
    cells = Cells(np.array([5.0, 5.0]), codes, np.zeros((2, 0)))
    dual = balance(cells, [np.array([0.5, 0.5]), np.array([0.9, 0.1])], np.zeros(0))
    assert dual.missed > 0.1
    with pytest.raises(ValueError, match="weights need margins"):
        Weights(name="even")
    for shares, message in (
        ({"en": 0.9, "de": 0.3}, "sum to 1.2"),
        ({"en": -0.1}, "between 0 and 1"),
        ({}, "sum to 0"),
    ):
        with pytest.raises(ValueError, match=message):
            Weights.model_validate({"name": "even", "margins": {"language": shares}})
