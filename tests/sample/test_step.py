"""The sample step selects what its config asks for, the same rows every time."""

from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from evenkeel.infra.errors import RecipeError
from evenkeel.infra.workspace import StepRef
from evenkeel.tasks.dedup.duplicates import Duplicates
from evenkeel.tasks.sample.config import SamplingConfig
from evenkeel.tasks.sample.rehydration import rows_by_size
from evenkeel.tasks.sample.selection import Selection
from evenkeel.tasks.step import Run
from tests.sample.pools import make_run, sampled, write_pool

# The finished steps and a run over them.
Pool = tuple[dict[str, StepRef], Run]


def lopsided(rows: int = 600, leaves: int = 12, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    leaf = np.minimum(rng.geometric(0.3, rows) - 1, leaves - 1)
    vectors = rng.normal(0, 4, (leaves, 6))[leaf] + rng.normal(0, 0.3, (rows, 6))
    return vectors, leaf


@pytest.fixture
def pool(tmp_path: Path) -> Pool:
    vectors, leaf = lopsided()
    quality = np.linspace(0, 1, len(vectors))
    inputs = write_pool(
        tmp_path / "pool",
        vectors,
        levels=[leaf],
        parents=[np.arange(12) // 4],
        groups={"language": ["en" if row % 10 else "is" for row in range(600)]},
        scores={"quality": quality},
        drop={5: (4, "exact"), 77: (76, "near")},
    )
    return inputs, make_run(tmp_path)


def select(pool: Pool, **settings: object) -> tuple[StepRef, Selection]:
    inputs, run = pool
    ref = sampled(SamplingConfig.model_validate({"target": 100, **settings}), inputs, run)
    return ref, Selection.open(ref)


@pytest.mark.parametrize("strategy", ["balanced", "flat", "top-down", "random"])
@pytest.mark.long
def test_every_strategy_keeps_exactly_the_target(pool: Pool, strategy: str) -> None:
    ref, selection = select(pool, strategy=strategy)
    table = selection.table()
    assert table.num_rows == ref.counts["kept"] == ref.counts["copies"] == 100
    assert ref.facts["shortfall"] == 0
    row_ids = table["row_id"].to_numpy()
    assert (np.diff(row_ids.astype(np.int64)) > 0).all()
    assert not np.isin([5, 77], row_ids).any()
    assert selection.quotas()["kept"].to_numpy().sum() == 100


def test_flat_gives_equal_quotas_and_quotas_are_kept(pool: Pool) -> None:
    quotas = select(pool, strategy="flat")[1].quotas().to_pandas()
    assert (quotas["kept"] == quotas["quota"]).all()
    assert (quotas["quota"] <= quotas["size"]).all()
    open_leaves = quotas[quotas["quota"] < quotas["size"]]
    assert open_leaves["quota"].max() - open_leaves["quota"].min() <= 1


def test_a_share_is_of_the_rows_after_deduplication(pool: Pool) -> None:
    assert select(pool, target="10%")[0].counts["kept"] == 60


def test_repeats_fill_what_one_copy_cannot(pool: Pool) -> None:
    ref, selection = select(pool, strategy="flat", target=900, max_repeats=4)
    copies = selection.table()["copies"].to_numpy()
    assert copies.sum() == ref.counts["copies"] == 900
    assert copies.min() >= 1
    assert copies.max() <= 4


def test_a_target_larger_than_the_pool_is_refused(pool: Pool) -> None:
    with pytest.raises(RecipeError, match="larger than the pool"):
        select(pool, target=599)
    with pytest.raises(RecipeError, match="larger than the pool"):
        select(pool, target=10**9, max_repeats=3)
    done, run = pool
    dedup = done["dedup"].model_copy(update={"counts": {"filtered": 5000}})
    with pytest.raises(RecipeError, match=r"filters that removed 5,000 rows(.|\n)*loosen the filters"):
        select(({**done, "dedup": dedup}, run), target=599)


@pytest.fixture
def grouped(tmp_path: Path) -> Pool:
    vectors, leaf = lopsided()
    drop = {600 - 1 - row: (row // 4, "near") for row in range(80)}  # rows 0 .. 19 represent five each
    return write_pool(tmp_path / "grouped", vectors, levels=[leaf], drop=drop), make_run(tmp_path)


def test_rehydrated_rows_come_by_their_group_and_the_target_counts_copies(
    grouped: Pool,
) -> None:
    ref, selection = select(grouped, target=300, rehydrate={"table": {2: 2, 5: 4}})
    table = selection.table().to_pandas()
    assert table["copies"].sum() == ref.counts["copies"] == 300
    assert ref.facts["shortfall"] == 0
    representative = table["row_id"] < 20
    assert representative.any()
    assert (table.loc[~representative, "copies"] == 1).all()
    assert (table.loc[representative, "copies"] != 4).sum() <= 1  # the last row takes what is left
    again = select(grouped, target=300, rehydrate={"table": {5: 4, 2: 2}})[1].table()
    assert again.equals(selection.table())


@pytest.mark.slow
def test_a_whole_pool_rehydrated_is_all_it_can_give(grouped: Pool) -> None:
    ref, _ = select(grouped, target=520 + 20 * 4, rehydrate={})
    assert (ref.counts["kept"], ref.counts["copies"]) == (520, 600)
    with pytest.raises(RecipeError, match="rehydrated"):
        select(grouped, target=601, rehydrate={})
    ref, _ = select(grouped, target="3000 tokens", rehydrate={})
    assert 3000 - 50 <= ref.counts["tokens"] <= 3000


def test_a_rehydration_table_may_come_from_what_filters_removed(grouped: Pool) -> None:
    ref, selection = select(grouped, target=400, rehydrate={"removed": {1: 0.5, 5: 0.1}, "max_copies": 3})
    assert set(selection.table().to_pandas()["copies"]) <= {1, 2, 3}
    assert ref.facts["rehydrate"]["1"] == 1
    for wrong in ({"table": {0: 1}}, {"table": {2: 0}}, {"removed": {2: 1.5}}):
        with pytest.raises(ValidationError):
            SamplingConfig.model_validate({"target": 1, "rehydrate": wrong})


def test_the_removal_rate_of_the_pool_is_that_of_its_rows(grouped: Pool) -> None:
    """No row has a group of six: its rate of 0.9, smoothed into all others, does not raise the mean above them."""
    rates = {"1": 0.2, "5": 0.2 - 1e-6, "6": 0.9}
    ref, _ = select(grouped, target=400, rehydrate={"removed": rates, "max_copies": 3})
    assert ref.facts["rehydrate"] == {"1": 1, "5": 1, "6": 1}
    duplicates = Duplicates.open(grouped[0]["dedup"])
    assert rows_by_size(duplicates, 520, np.array([1, 5, 6])).tolist() == [500, 20, 0]
    assert rows_by_size(duplicates, 520, np.array([2, 6])).tolist() == [20, 0]


def test_orders_take_the_rows_they_name(pool: Pool) -> None:
    inputs, _ = pool
    best = select(pool, strategy="random", order="score", score="quality")[1].row_ids()
    assert best.min() == 500
    from evenkeel.tasks.cluster.hierarchy import Hierarchy

    rows = Hierarchy.open(inputs["cluster"]).rows().to_pandas().set_index("row_id")
    closest = select(pool, strategy="flat", order="closest")[1].table().to_pandas()
    furthest = select(pool, strategy="flat", order="furthest")[1].table().to_pandas()
    for leaf, quota in closest.groupby("leaf").size().items():
        distances = rows[rows["leaf"] == leaf]["distance"].sort_values()
        near = rows.loc[closest[closest["leaf"] == leaf]["row_id"], "distance"]
        far = rows.loc[furthest[furthest["leaf"] == leaf]["row_id"], "distance"]
        np.testing.assert_allclose(np.sort(near), distances[:quota])
        np.testing.assert_allclose(np.sort(far), distances[-quota:])


def test_a_missing_score_column_is_named(pool: Pool) -> None:
    with pytest.raises(RecipeError, match="'beauty'"):
        select(pool, order="score", score="beauty")


@pytest.mark.long
def test_block_size_does_not_change_the_rows(tmp_path: Path) -> None:
    vectors, leaf = lopsided()
    kept = []
    for block_rows in (1000, 50, 7):
        inputs = write_pool(tmp_path / f"pool{block_rows}", vectors, levels=[leaf], block_rows=block_rows)
        ref = sampled(SamplingConfig(target=120), inputs, make_run(tmp_path))
        kept.append(Selection.open(ref).table())
    assert kept[0].equals(kept[1])
    assert kept[0].equals(kept[2])


@pytest.mark.long
def test_unchanged_data_under_new_row_numbers_keeps_every_row(tmp_path: Path) -> None:
    vectors, leaf = lopsided()
    ids = np.array([f"doc-{row}" for row in range(len(vectors))])
    shuffled = np.random.default_rng(1).permutation(len(vectors))
    kept = []
    for name, order in (("a", np.arange(len(vectors))), ("b", shuffled)):
        inputs = write_pool(tmp_path / name, vectors[order], levels=[leaf[order]], ids=list(ids[order]))
        ref = sampled(SamplingConfig(target=120), inputs, make_run(tmp_path))
        kept.append(set(ids[order][Selection.open(ref).row_ids().astype(int)]))
    assert kept[0] == kept[1]


def test_horvitz_thompson_weights_undo_the_balancing(pool: Pool) -> None:
    table = select(pool, strategy="flat", target=200)[1].table()
    estimate = np.bincount(table["leaf"], table["weight"], 12)
    sizes = select(pool, strategy="flat", target=200)[1].quotas()["size"].to_numpy()
    np.testing.assert_allclose(estimate, sizes, rtol=0.05, atol=1.01)


def test_one_row_and_equal_rows(tmp_path: Path) -> None:
    one = write_pool(tmp_path / "one", np.ones((1, 3)), levels=[np.zeros(1, int)])
    assert sampled(SamplingConfig(target=1), one, make_run(tmp_path)).counts["kept"] == 1
    same = write_pool(tmp_path / "same", np.ones((50, 3)), levels=[np.zeros(50, int)])
    assert sampled(SamplingConfig(target=7), same, make_run(tmp_path)).counts["kept"] == 7
