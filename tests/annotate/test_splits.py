"""Splits: stated shares to the row, whole groups, nothing moves when shards arrive, and what cannot be met is named."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from evenkeel.infra.errors import RecipeError
from evenkeel.infra.workspace import StepRef
from evenkeel.tasks.annotate.annotation import Annotation
from evenkeel.tasks.annotate.kinds.splits import Splits
from evenkeel.tasks.sample.config import SamplingConfig
from evenkeel.tasks.sample.strategies.random import Random
from tests.annotate.annotated import annotated
from tests.sample.pools import write_pool

ROWS = 3000


def pool(folder: Path, rows: int = ROWS, ids: list[str] | None = None) -> dict[str, StepRef]:
    draw = np.random.default_rng(5)
    leaf = np.arange(rows) % 30
    sites = [f"site-{draw.integers(60)}" for _ in range(rows)]
    labels = [("a", "b", "c")[min(int(draw.exponential(0.6)), 2)] for _ in range(rows)]
    months = np.arange(rows)[::-1].astype(np.float64)
    return write_pool(
        folder,
        np.stack([leaf, leaf % 7], axis=1),
        levels=[leaf],
        parents=[np.arange(30) % 5],
        groups={"site": sites, "label": labels},
        scores={"month": months},
        ids=ids,
        block_rows=500,
    )


def split_of(
    done: dict[str, StepRef], folder: Path, one: Annotation, names: tuple[str, ...] = (), target: int | str = "100%"
) -> tuple[pd.DataFrame, StepRef]:
    table, (ref,) = annotated(done, folder, one, names=names, config=SamplingConfig(target=target, strategy=Random()))
    return table.to_pandas(), ref


def test_shares_are_met_to_the_row(tmp_path: Path) -> None:
    frame, ref = split_of(pool(tmp_path), tmp_path, Splits(test="1%", validation=0.035), target=2003)
    assert frame["ek_split"].value_counts().to_dict() == {"train": 1913, "validation": 70, "test": 20}
    assert ref.facts["rows"] == {"train": 1913, "validation": 70, "test": 20}


def test_a_larger_validation_moves_no_row_of_the_test(tmp_path: Path) -> None:
    done = pool(tmp_path)
    first, _ = split_of(done, tmp_path, Splits(test=0.1))
    second, _ = split_of(done, tmp_path, Splits(test=0.1, validation=0.3))
    assert (first["ek_split"] == "test").equals(second["ek_split"] == "test")


def test_rows_stay_in_their_split_when_shards_arrive(tmp_path: Path) -> None:
    ids = [f"row-{row}" for row in range(ROWS)]
    small = pool(tmp_path / "small", ROWS * 2 // 3, ids[: ROWS * 2 // 3])
    large = pool(tmp_path / "large", ROWS, ids)
    before, _ = split_of(small, tmp_path / "small", Splits(test=0.2))
    after, _ = split_of(large, tmp_path / "large", Splits(test=0.2))
    both = before.merge(after, on="identity")
    moved = (both["ek_split_x"] != both["ek_split_y"]).mean()
    assert len(both) == len(before)
    assert moved < 0.02  # those at the edge; a fresh draw would move 32 %


@pytest.mark.long
@pytest.mark.parametrize(("by", "unit"), [("hash", "identity"), ("cluster", "leaf"), ("group.site", "site")])
def test_fixed_splits_never_move(tmp_path: Path, by: str, unit: str) -> None:
    ids = [f"row-{row}" for row in range(ROWS)]
    small = pool(tmp_path / "small", ROWS * 2 // 3, ids[: ROWS * 2 // 3])
    large = pool(tmp_path / "large", ROWS, ids)
    one = Splits(by=by, test=0.2, validation=0.2, fixed=True)
    before, _ = split_of(small, tmp_path / "small", one, names=("site",))
    after, ref = split_of(large, tmp_path / "large", one, names=("site",))
    both = before.merge(after, on=unit)
    assert (both["ek_split_x"] == both["ek_split_y"]).all()
    assert ref.facts["rows"] == after["ek_split"].value_counts().to_dict()
    if by == "hash":
        assert abs((after["ek_split"] == "test").mean() - 0.2) < 0.02


@pytest.mark.parametrize(("by", "column"), [("group.site", "site"), ("cluster", "leaf"), ("level-2", "top")])
def test_groups_and_clusters_stay_whole(tmp_path: Path, by: str, column: str) -> None:
    share = 0.2 if by == "level-2" else 0.1
    frame, ref = split_of(pool(tmp_path), tmp_path, Splits(by=by, test=share, tolerance=0.2), names=("site",))
    frame["top"] = frame["leaf"] % 5
    assert frame.groupby(column)["ek_split"].agg(set).map(len).max() == 1
    assert abs((frame["ek_split"] == "test").mean() - share) <= 0.2 * share
    assert ref.facts["rows"]["test"] == (frame["ek_split"] == "test").sum()


def test_the_test_is_the_latest_rows(tmp_path: Path) -> None:
    frame, _ = split_of(pool(tmp_path), tmp_path, Splits(by="month", test=0.1, validation=0.1), names=("month",))
    months = frame.groupby("ek_split")["month"]
    assert months.max()["train"] < months.min()["validation"] <= months.max()["validation"] < months.min()["test"]
    assert months.size().to_dict() == {"train": 2400, "validation": 300, "test": 300}


def test_an_even_test_has_the_same_rows_of_each_label(tmp_path: Path) -> None:
    frame, _ = split_of(pool(tmp_path), tmp_path, Splits(test=0.06, even="group.label"), names=("label",))
    assert frame[frame["ek_split"] == "test"]["label"].value_counts().to_dict() == {"a": 60, "b": 60, "c": 60}
    assert frame["label"].value_counts().max() > 3 * frame["label"].value_counts().min()


def test_clients_have_few_clusters_where_alpha_is_small(tmp_path: Path) -> None:
    done = pool(tmp_path)

    def entropy(alpha: float) -> float:
        frame, _ = split_of(done, tmp_path, Splits(clients=10, alpha=alpha))
        shares = frame.groupby(["ek_client", "leaf"]).size() / frame.groupby("ek_client").size()
        return float(-(shares * np.log(shares)).groupby("ek_client").sum().mean())

    assert entropy(0.05) < 2.5 < 3.2 < entropy(100)  # log(30) = 3.4 is all clusters alike


def test_a_small_class_leaves_nothing_to_train_on(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"more than 300 kept rows of group\.label=c"):
        split_of(pool(tmp_path), tmp_path, Splits(test=0.3, even="group.label"))


def test_clusters_too_large_for_a_split_are_named(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="5 with 600 to 600 rows"):
        split_of(pool(tmp_path), tmp_path, Splits(by="level-2", test=0.01))


def test_a_share_of_no_row_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"the validation split has no row(.|\n)*0.001 of 40 kept rows"):
        split_of(pool(tmp_path), tmp_path, Splits(test=0.5, validation=0.001), target=40)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"test": 0.6, "validation": 0.4}, "sum to 1: nothing is left"),
        ({}, "nothing to split off"),
        ({"by": "cluster", "even": "group.label", "test": 0.1}, "even goes with by: hash"),
        ({"by": "dirichlet", "test": 0.1}, "needs clients"),
        ({"by": "month", "test": 0.1, "fixed": True}, "fixed goes by hashes"),
        ({"test": "ten %"}, "could not convert"),
    ],
)
def test_contradictions_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Splits.model_validate(options)
