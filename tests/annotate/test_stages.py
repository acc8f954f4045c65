"""Stages: each has its share of the copies, spread by its rule to the row, and takes first what others have not."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from evenkeel.infra.errors import RecipeError
from evenkeel.infra.workspace import StepRef
from evenkeel.tasks.annotate.kinds.order import Order
from evenkeel.tasks.annotate.kinds.splits import Splits
from evenkeel.tasks.annotate.kinds.stages import Stages
from evenkeel.tasks.annotate.thresholds import Rows, Sizes, exact, look_into
from evenkeel.tasks.sample.config import SamplingConfig
from evenkeel.tasks.sample.strategies.random import Random
from evenkeel.tasks.sample.strategies.uniform import Uniform
from tests.annotate.annotated import annotated
from tests.sample.pools import write_pool

ROWS = 4000
LANGUAGES = {"en": 3200, "de": 600, "is": 200}


def pool(folder: Path, block_rows: int = 1000) -> dict[str, StepRef]:
    draw = np.random.default_rng(2)
    language = draw.permutation(np.repeat(list(LANGUAGES), list(LANGUAGES.values())))
    leaf = draw.integers(0, 16, ROWS)
    return write_pool(
        folder,
        np.stack([leaf, leaf], axis=1),
        levels=[leaf],
        groups={"language": language.tolist()},
        scores={"loss": draw.normal(size=ROWS)},
        block_rows=block_rows,
    )


def staged(
    folder: Path, written: object, target: int | str = "100%", repeats: int = 1, block_rows: int = 1000
) -> tuple[pd.DataFrame, StepRef]:
    (document,) = Stages.from_section(written)
    one = Stages.model_validate(document)
    config = SamplingConfig(target=target, strategy=Random(), max_repeats=repeats)
    table, (ref,) = annotated(pool(folder, block_rows), folder, one, config=config, names=("language",))
    return table.to_pandas(), ref


def shares_of(frame: pd.DataFrame, stage: str) -> pd.Series:
    copies = frame.groupby("language")[f"ek_stage_{stage}"].sum()
    return copies / copies.sum()


SCHEDULE = [
    {"name": "warm", "share": 0.3, "strategy": {"name": "temperature", "temperature": 5, "groups": ["language"]}},
    {"name": "main", "share": 0.6},
    {"name": "end", "share": 0.1, "raise": {"language": {"is": 8, "de": 2}}},
]


def test_stages_have_their_shares_and_their_rules(tmp_path: Path) -> None:
    frame, ref = staged(tmp_path, SCHEDULE)
    copies = {stage: int(frame[f"ek_stage_{stage}"].sum()) for stage in ("warm", "main", "end")}
    assert copies == {"warm": 1200, "main": 2400, "end": 400}
    assert [one["copies"] for one in ref.facts["stages"]] == list(copies.values())
    sizes = pd.Series(LANGUAGES)
    for stage, weights in {"warm": sizes ** (1 / 5), "end": sizes * pd.Series({"en": 1, "de": 2, "is": 8})}.items():
        assert (shares_of(frame, stage) - weights / weights.sum()).abs().max() < 1 / copies[stage]
    version = frame["leaf"].value_counts(normalize=True)
    main = frame.groupby("leaf")["ek_stage_main"].sum() / 2400
    assert (main - version).abs().max() < 1 / 2400 + 1e-9


@pytest.mark.long
def test_a_row_is_not_taken_again_before_the_others_of_its_cell(tmp_path: Path) -> None:
    frame, _ = staged(
        tmp_path, [{"name": name, "share": share} for name, share in (("a", 0.5), ("b", 0.25), ("c", 0.25))]
    )
    total = frame[["ek_stage_a", "ek_stage_b", "ek_stage_c"]].sum(axis=1)
    assert total.sum() == ROWS
    assert (total != 1).sum() <= 2 * 16  # leaves are rounded in each stage
    frame, _ = staged(tmp_path, SCHEDULE)
    icelandic = frame[frame["language"] == "is"]["ek_stage_warm"]
    assert set(icelandic) == {1, 2}  # 311 copies of 200 rows


def test_copies_of_the_version_are_spread_over_the_stages(tmp_path: Path) -> None:
    frame, _ = staged(tmp_path, [{"name": "a", "share": 0.5}, {"name": "b", "share": 0.5}], target=10_000, repeats=3)
    off = frame["ek_stage_a"] + frame["ek_stage_b"] - frame["copies"]
    assert off.abs().max() <= 1
    assert off.sum() == 0
    assert (off != 0).mean() < 0.02


def test_a_temperature_cools_down_from_stage_to_stage(tmp_path: Path) -> None:
    frame, _ = staged(tmp_path, {"temperatures": [10, 2, 1], "groups": ["language"]})
    for stage, temperature in (("1", 10), ("2", 2), ("3", 1)):
        weights = pd.Series(LANGUAGES) ** (1 / temperature)
        assert (shares_of(frame, stage) - weights / weights.sum()).abs().max() < 1e-3


def test_a_schedule_is_of_the_pool_whatever_the_version_was_drawn_by(tmp_path: Path) -> None:
    even = SamplingConfig(target=1500, strategy=Uniform(groups=["language"]))
    one = Stages(temperatures=[2], groups=["language"])
    table, _ = annotated(pool(tmp_path), tmp_path, one, config=even, names=("language",))
    frame = table.to_pandas()
    assert frame["language"].value_counts().max() < 1.2 * 600 < 2 * 600 < LANGUAGES["en"]
    weights = pd.Series(LANGUAGES) ** (1 / 2)
    assert (shares_of(frame, "1") - weights / weights.sum()).abs().max() < 1e-3


@pytest.mark.long
def test_stages_and_an_order_are_of_the_rows_for_training(tmp_path: Path) -> None:
    steps = [Splits(test=0.2, validation=0.1), Stages.model_validate({"stages": SCHEDULE}), Order(by="loss", folds=2)]
    batches = Order(by="loss", pattern="batches", of="level-1", batch=32)
    frames = [
        annotated(pool(tmp_path / name), tmp_path / name, *steps[:2], order, names=("loss",))[0].to_pandas()
        for name, order in (("ascending", steps[2]), ("batches", batches))
    ]
    for frame in frames:
        train = frame["ek_split"] == "train"
        assert frame[["ek_stage_warm", "ek_stage_main", "ek_stage_end"]].sum().tolist() == [840, 1680, 280]
        assert not frame[~train][["ek_stage_warm", "ek_stage_main", "ek_stage_end"]].any(axis=None)
        assert sorted(frame["ek_rank"]) == list(range(ROWS))
        ordered = frame.sort_values("ek_rank")
        assert ordered["ek_split"].tolist() == ["train"] * 2800 + ["validation"] * 400 + ["test"] * 800
        train = ordered.iloc[:2800]
        first = train[["ek_stage_warm", "ek_stage_main", "ek_stage_end"]].gt(0).to_numpy()
        stage = np.where(first.any(axis=1), first.argmax(axis=1), 3)
        assert (np.diff(stage) >= 0).all()
        for number in np.unique(stage):
            part = train[stage == number]
            if frame is frames[0]:
                assert part["loss"].is_monotonic_increasing
            else:
                whole = int((part["leaf"].value_counts() // 32).sum()) * 32
                leaves = part["leaf"].to_numpy()[:whole].reshape(-1, 32)
                assert (leaves == leaves[:, :1]).all()


def test_nested_stages_grow_from_a_balanced_core(tmp_path: Path) -> None:
    core = {"name": "core", "share": 0.15, "strategy": {"name": "uniform", "groups": ["language"]}, "max_repeats": 1}
    later = [{"name": "more", "share": 0.5, "nested": True}, {"name": "all", "share": 1.0, "nested": True}]
    frame, _ = staged(tmp_path, [core, *later])
    assert frame.groupby("language")["ek_stage_core"].sum().to_dict() == {"de": 200, "en": 200, "is": 200}
    assert frame["ek_stage_more"].sum() == ROWS // 2
    assert (frame["ek_stage_more"] >= frame["ek_stage_core"]).all()
    assert frame["ek_stage_all"].tolist() == [1] * ROWS


@pytest.mark.long
def test_neither_blocks_nor_another_run_change_a_stage(tmp_path: Path) -> None:
    one, _ = staged(tmp_path / "one", SCHEDULE)
    many, _ = staged(tmp_path / "many", SCHEDULE, block_rows=450)
    pd.testing.assert_frame_equal(one, many)


def test_thresholds_equal_a_plain_sort() -> None:
    draw = np.random.default_rng(0)
    rows, cells, most = 5000, 40, 5
    cell = draw.integers(-1, cells, rows).astype(np.int32)
    copies, used = draw.integers(1, 4, rows).astype(np.int32), draw.integers(0, 3, rows).astype(np.int32)
    known = Rows(draw.uniform(size=rows), copies, used, cell)
    sizes = np.bincount(cell[cell >= 0], minlength=cells)
    quotas = (sizes * draw.uniform(0, most, cells)).astype(np.int64)
    quotas[:3] = 0, 1, most * sizes[2]
    counted, widen = Sizes.of(known.counted()), np.ones(cells)
    first, last = counted.around(quotas, most, widen)
    upto, missed = exact(look_into(known, first, last, most), quotas, first)
    found = known.taken(upto, most)
    assert not len(missed)
    for one in range(cells):
        mine = np.flatnonzero(cell == one)
        places = sorted(((used[row] + step + known.u[row]) / copies[row], row) for row in mine for step in range(most))
        expected = np.bincount([row for _, row in places[: quotas[one]]], minlength=rows)
        assert found[mine].tolist() == expected[mine].tolist()
    assert not found[cell < 0].any()


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ([{"name": "a", "share": 0.5}, {"name": "b", "share": 0.4}], "sum to 0.9, not to 1: a 0.5, b 0.4"),
        ([{"name": "a", "share": 0.5}, {"name": "a", "share": 0.5}], "two are called 'a'"),
        ([{"name": "a", "share": 1, "nested": True}], "a is the first"),
        ([{"name": "a", "share": 0.9}, {"name": "b", "share": 0.5, "nested": True}], "at least 0.9"),
        ([{"name": "a", "share": 1, "strategy": "flat", "raise": {"x": {"y": 2}}}], "give strategy or raise"),
        ([{"name": "a", "share": 1, "strategy": {"name": "weighted", "by": "loss"}}], "draws rows by weights"),
        ([], "there is none"),
        ([{"name": "A b", "share": 1}], "should match pattern"),
    ],
)
def test_a_schedule_that_does_not_add_up_is_refused(written: object, message: str) -> None:
    (document,) = Stages.from_section(written)
    with pytest.raises(ValueError, match=message):
        Stages.model_validate(document)


@pytest.mark.parametrize(
    ("stage", "message"),
    [
        ({"raise": {"language": {"fr": 2}}}, "raises language=fr, and no row of the pool has it"),
        ({"raise": {"language": {"en": 0, "de": 0}}, "max_repeats": 3}, "600, each row at most 3 times"),
    ],
)
def test_a_stage_that_cannot_be_met_is_named(tmp_path: Path, stage: dict[str, object], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        staged(tmp_path, [{"name": "end", "share": 1, **stage}])
