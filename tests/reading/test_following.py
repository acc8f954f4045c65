"""Readers obey stages, splits, fresh subsets, weights and an order: exactly those rows, resumed at the row, shared."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from evenkeel.infra.errors import InputError
from evenkeel.infra.hashing import hash_identities
from evenkeel.tasks.reading.stream import RowStream

ROWS, BATCH = 3000, 32


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Write data files as the stage step does for a recipe with stages, splits, weights and an order."""
    draw = np.random.default_rng(1)
    cluster = np.repeat(np.arange(30), 100)  # 3 whole batches each, and 4 rows left over
    batch = np.concatenate([np.flatnonzero(cluster == one)[: 3 * BATCH] for one in range(30)])
    rest = np.setdiff1d(np.arange(ROWS), batch)
    shuffled = batch.reshape(-1, BATCH)[draw.permutation(90)].ravel()
    rows = np.concatenate([shuffled, rest])
    frame = pd.DataFrame(
        {
            "ek_id": [f"r{row}" for row in rows],
            "ek_identity": hash_identities(7, rows.astype(np.uint64)).view(np.int64),
            "ek_cluster_1": cluster[rows].astype(np.int32),
            "ek_copies": np.ones(ROWS, np.int32),
            "ek_stage_warm": (np.arange(ROWS) < 900).astype(np.int32),
            "ek_stage_end": np.where(np.arange(ROWS) >= 2000, draw.integers(0, 4, ROWS), 0).astype(np.int32),
            "ek_split": np.where(np.arange(ROWS) < 2800, "train", "test"),
            "ek_weight_even": np.where(cluster[rows] < 3, 5.0, 0.5),
            "ek_rank": np.arange(ROWS),
        }
    )
    folder = tmp_path_factory.mktemp("data")
    for number in range(3):
        table = pa.Table.from_pandas(frame.iloc[1000 * number : 1000 * (number + 1)], preserve_index=False)
        pq.write_table(table, folder / f"part-{number}.parquet", row_group_size=150, write_page_checksum=True)
    return str(folder)


def expected_of(data: str, **asked: object) -> Counter[str]:
    frame = pd.read_parquet(data)
    often = frame[f"ek_stage_{asked['stage']}"] if "stage" in asked else frame["ek_copies"]
    often = often * (frame["ek_split"] == asked["split"]) if "split" in asked else often
    return +Counter(dict(zip(frame["ek_id"], often.tolist(), strict=True)))


@pytest.mark.parametrize("order", [False, True])
@pytest.mark.parametrize(
    "asked", [{"stage": "warm"}, {"stage": "end"}, {"split": "test"}, {"stage": "end", "split": "train"}]
)
def test_a_stage_is_read_whole_and_resumed_at_the_row(data: str, asked: dict[str, str], order: bool) -> None:
    stage, split = asked.get("stage"), asked.get("split")
    stream = RowStream(data, columns=["ek_id"], batch=BATCH, window=3, seed=2, order=order, stage=stage, split=split)
    seen: Counter[str] = Counter()
    for consumer in range(3):
        whole = [batch["ek_id"] for batch in stream.batches(1, consumer=consumer, consumers=3)]
        assert stream.length(1, consumer=consumer, consumers=3) == len(whole)
        for skip in (1, 2, len(whole) // 2, len(whole)):
            rest = [batch["ek_id"] for batch in stream.batches(1, consumer=consumer, consumers=3, skip=skip)]
            assert rest == whole[skip:]
        seen.update(one for batch in whole for one in batch)
    assert seen == expected_of(data, **asked)


def test_row_groups_without_a_row_of_the_stage_are_not_read(data: str) -> None:
    assert len(RowStream(data).groups) == 21
    assert len(RowStream(data, stage="warm").groups) == 6
    assert len(RowStream(data, split="test").groups) == 2
    assert not list(RowStream(data, split="validation").batches())


def test_ten_fresh_tenths_are_two_thirds_of_the_rows(tmp_path: Path) -> None:
    rows = 40_000
    identity = hash_identities(3, np.arange(rows, dtype=np.uint64)).view(np.int64)
    pq.write_table(pa.table({"ek_identity": identity, "ek_copies": np.ones(rows, np.int32)}), tmp_path / "0.parquet")
    stream = RowStream(str(tmp_path), columns=["ek_identity"], fresh=0.1, batch=4096)
    epochs = [
        set(np.concatenate([one["ek_identity"] for one in stream.batches(epoch)]).tolist()) for epoch in range(10)
    ]
    spread = 3 * (rows * 0.1 * 0.9) ** 0.5
    assert all(abs(len(one) - rows / 10) <= spread for one in epochs)
    assert abs(len(set.union(*epochs)) / rows - 0.651) < 0.005
    assert abs(len(epochs[0] & epochs[1]) - rows / 100) < 3 * (rows / 100) ** 0.5  # independent of each other
    assert {len(list(stream.batches(one))) - stream.length(one) for one in range(3)} == {0}


def test_weights_say_how_often_a_row_comes_on_average(data: str) -> None:
    stream = RowStream(data, columns=["ek_cluster_1"], weights="even", batch=500)
    seen = np.concatenate([one["ek_cluster_1"] for epoch in range(5) for one in stream.batches(epoch)])
    rare = (seen < 3).sum() / 5 / 300
    common = (seen >= 3).sum() / 5 / 2700
    assert abs(len(seen) / 5 / ROWS - 1) < 0.02
    assert abs(rare / common - 10) < 0.5


@pytest.mark.parametrize("consumers", [1, 4])
def test_an_order_is_kept_and_batches_stay_whole(data: str, consumers: int) -> None:
    stream = RowStream(data, columns=["ek_rank", "ek_cluster_1"], order=True, batch=BATCH)
    by_consumer = [list(stream.batches(0, consumer=one, consumers=consumers)) for one in range(consumers)]
    whole = [one for part in by_consumer for one in part if one["ek_rank"][-1] < 90 * BATCH]
    assert len(whole) == 90
    assert all(len(set(one["ek_cluster_1"])) == 1 for one in whole)
    for part in by_consumer:
        ranks = np.concatenate([one["ek_rank"] for one in part])
        assert (np.diff(ranks) > 0).all()
    assert sum(len(one["ek_rank"]) for part in by_consumer for one in part) == ROWS


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"stage": "last"}, "no stage 'last'.*\n.*one of warm, end"),
        ({"weights": "odd"}, "no weights 'odd'.*\n.*one of even"),
        ({"fresh": 1.5}, "fresh is a share"),
    ],
)
def test_what_a_version_does_not_have_is_named(data: str, asked: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        RowStream(data, **asked)


def test_a_version_without_annotations_says_what_it_lacks(tmp_path: Path) -> None:
    pq.write_table(pa.table({"ek_copies": np.ones(3, np.int32)}), tmp_path / "0.parquet")
    with pytest.raises(InputError, match="a column ek_split"):
        RowStream(str(tmp_path), split="test")
    with pytest.raises(InputError, match="give the recipe a section order"):
        RowStream(str(tmp_path), order=True)
