"""Orders: each is a permutation with the pattern that it promises, counted against plain loops."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from evenkeel.infra.workspace import StepRef
from evenkeel.tasks.annotate import sorting
from evenkeel.tasks.annotate.kinds.order import Order
from evenkeel.tasks.annotate.kinds.stages import Stages
from tests.annotate.annotated import annotated
from tests.sample.pools import write_pool

ROWS = 1500


def pool(folder: Path) -> dict[str, StepRef]:
    draw = np.random.default_rng(3)
    leaf = np.minimum(draw.exponential(4, ROWS).astype(int), 11)
    loss = np.round(draw.normal(size=ROWS), 2)  # with ties
    topics = [f"t{one % 3}" for one in leaf]
    return write_pool(
        folder,
        np.stack([leaf, leaf], axis=1),
        levels=[leaf],
        parents=[np.arange(12) % 4],
        groups={"topic": topics},
        scores={"loss": loss},
        block_rows=400,
    )


def in_order(folder: Path, one: Order) -> pd.DataFrame:
    table, _ = annotated(pool(folder), folder, one, names=("loss", "topic"))
    frame: pd.DataFrame = table.to_pandas().sort_values("ek_rank")
    assert frame["ek_rank"].tolist() == list(range(ROWS))
    return frame


def test_ascending_and_descending(tmp_path: Path) -> None:
    assert in_order(tmp_path, Order(by="loss"))["loss"].is_monotonic_increasing
    assert in_order(tmp_path, Order(by="-loss"))["loss"].is_monotonic_decreasing


@pytest.mark.long
def test_many_ranges_sort_as_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = in_order(tmp_path / "one", Order(by="loss"))
    monkeypatch.setattr(sorting, "ROWS_AT_ONCE", 100)
    monkeypatch.setattr(sorting, "SAMPLE", 300)
    assert in_order(tmp_path / "many", Order(by="loss"))["row_id"].tolist() == whole["row_id"].tolist()


def test_folding_is_exact(tmp_path: Path) -> None:
    ascending = in_order(tmp_path, Order(by="loss"))["row_id"].to_numpy()
    folded = in_order(tmp_path, Order(by="loss", pattern="folding", folds=7))["row_id"].to_numpy()
    assert folded.tolist() == np.concatenate([ascending[fold::7] for fold in range(7)]).tolist()


@pytest.mark.parametrize("of", ["level-2", "group.topic"])
def test_a_batch_is_of_one_topic_with_all_margins(tmp_path: Path, of: str) -> None:
    frame = in_order(tmp_path, Order(by="loss", pattern="batches", of=of, batch=40))
    frame["unit"] = frame["topic"] if of == "group.topic" else frame["leaf"] % 4
    frame["bin"] = frame.groupby("unit")["loss"].rank(method="first", pct=True).mul(10).sub(1e-9).astype(int)
    sizes = frame.groupby("unit").size()
    whole = int((sizes // 40).sum())
    batches = [frame.iloc[40 * number : 40 * (number + 1)] for number in range(whole)]
    assert all(len(set(batch["unit"])) == 1 for batch in batches)
    for batch in batches:
        share = frame[frame["unit"] == batch["unit"].iloc[0]]["bin"].value_counts(normalize=True) * 40
        counts = batch["bin"].value_counts().reindex(range(10), fill_value=0)
        assert (counts - share.round()).abs().max() <= 1
    assert len({batch["unit"].iloc[0] for batch in batches[:6]}) > 1  # not one topic after another


def test_bursts_are_runs_of_one_cluster(tmp_path: Path) -> None:
    frame = in_order(tmp_path, Order(pattern="bursts", of="level-1", batch=10))
    runs = int((frame["leaf"].diff() != 0).sum())
    assert runs <= sum(-(-size // 10) for size in frame.groupby("leaf").size())
    assert runs > 100  # a sort by cluster has 12, a shuffle about 1,250


@pytest.mark.long
@pytest.mark.parametrize("pattern", ["ascending", "folding", "batches"])
def test_an_order_runs_through_the_stages_as_it_would_through_each_alone(tmp_path: Path, pattern: str) -> None:
    stages = Stages.model_validate(
        {"stages": [{"name": "a", "share": 0.5}, {"name": "b", "share": 0.4}, {"name": "c", "share": 0.1}]}
    )
    rule = Order.model_validate({"by": "loss", "pattern": pattern, "of": "level-2", "batch": 40})
    table, _ = annotated(pool(tmp_path), tmp_path, stages, rule, names=("loss",))
    frame = table.to_pandas().sort_values("ek_rank")
    assert frame["ek_rank"].tolist() == list(range(ROWS))
    taken = frame[[f"ek_stage_{name}" for name in "abc"]].to_numpy() > 0
    first = np.where(taken.any(axis=1), taken.argmax(axis=1), 3)
    assert (np.diff(first) >= 0).all(), "the rows that a stage takes first follow each other"
    for number in range(3):
        part = frame[first == number]
        assert len(part) > 100
        ordered = part.sort_values(["loss", "ek_rank"])["loss"].to_numpy()
        if pattern == "ascending":
            assert part["loss"].is_monotonic_increasing
        elif pattern == "folding":
            assert part["loss"].tolist() == np.concatenate([ordered[fold::3] for fold in range(3)]).tolist()
        else:
            units = part["leaf"].to_numpy() % 4
            whole = int((np.bincount(units, minlength=4) // 40).sum())
            assert all(len(set(units[40 * one : 40 * one + 40])) == 1 for one in range(whole))


def test_an_order_needs_a_number() -> None:
    with pytest.raises(ValueError, match="order: folding needs by"):
        Order(pattern="folding")
