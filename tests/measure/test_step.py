"""The profile says where every row went and how balanced the rows are."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from evenkeel.infra.errors import AccountingError
from evenkeel.infra.workspace import StepRef
from evenkeel.tasks.measure.config import MeasureConfig
from evenkeel.tasks.measure.inputs import MeasureInputs
from evenkeel.tasks.measure.profile import Profile
from evenkeel.tasks.measure.step import MEASURE
from evenkeel.tasks.sample.config import SamplingConfig
from evenkeel.tasks.step import Run
from tests.sample.pools import make_run, sampled, write_pool

ROWS, LEAVES = 400, 8


def pool(folder: Path, ids: Sequence[str] | None = None) -> dict[str, StepRef]:
    rng = np.random.default_rng(3)
    leaf = np.minimum(rng.geometric(0.4, ROWS) - 1, LEAVES - 1)
    vectors = rng.normal(0, 4, (LEAVES, 5))[leaf] + rng.normal(0, 0.3, (ROWS, 5))
    return write_pool(
        folder,
        vectors,
        levels=[leaf],
        parents=[np.arange(LEAVES) // 3],
        groups={"topic": [f"t{number % 3}" for number in leaf], "kind": [None if n == 7 else "a" for n in range(ROWS)]},
        drop={10: (9, "exact"), 11: (9, "near"), 300: (299, "semantic"), 12: (12, "excluded")},
        quarantined=6,
        ids=ids,
    )


def profile(
    inputs: Mapping[str, StepRef], run: Run, previous: StepRef | None = None, **settings: object
) -> tuple[StepRef, dict[str, StepRef]]:
    inputs = dict(inputs)
    inputs["sample"] = sampled(SamplingConfig.model_validate({"target": 80, **settings}), inputs, run)
    if previous is not None:
        inputs["previous"] = previous.model_copy(update={"step": "previous"})
    return MEASURE(MeasureConfig(), MeasureInputs.of(inputs), run), inputs


def test_every_row_has_one_fate(tmp_path: Path) -> None:
    ref, _ = profile(pool(tmp_path / "pool"), make_run(tmp_path))
    totals = Profile.open(ref).totals.iloc[0]
    assert totals["read"] == 406
    assert totals["quarantined"] == 7
    assert totals["deduplicated"] == 3
    assert totals["kept"] == totals["copies"] == 80
    assert totals["not_sampled"] == 406 - 7 - 3 - 80
    assert totals["tokens_before"] == 3960
    assert totals["tokens_after"] == 800
    assert np.isnan(totals["churn"])


def test_clusters_and_groups_add_up_at_every_level(tmp_path: Path) -> None:
    ref, _ = profile(pool(tmp_path / "pool"), make_run(tmp_path))
    found = Profile.open(ref)
    per_level = found.clusters.groupby("level")[["before", "after", "share_before", "share_after"]].sum()
    assert per_level.index.tolist() == [1, 2]
    np.testing.assert_allclose(per_level.to_numpy(), [[396, 80, 1, 1]] * 2)
    per_group = found.groups.groupby("group")[["before", "after"]].sum()
    np.testing.assert_array_equal(per_group.to_numpy(), [[396, 80]] * 2)
    assert "(none)" in set(found.groups["value"])
    stands = found.clusters.query("level == 1")
    dropped = (stands["near_duplicate_rate"] * stands["before"] / (1 - stands["near_duplicate_rate"])).sum()
    assert dropped == pytest.approx(3)


@pytest.mark.long
def test_balance_has_every_scope_and_stage_and_the_default_beats_random(tmp_path: Path) -> None:
    ref, _ = profile(pool(tmp_path / "pool"), make_run(tmp_path))
    table = Profile.open(ref).balance.set_index(["scope", "stage"])
    assert set(table.index.get_level_values("scope")) == {"level-1", "level-2", "group.topic", "group.kind"}
    assert set(table.index.get_level_values("stage")) == {"before", "after", "random", "flat", "top-down"}
    assert table["kl_uniform"][("level-1", "after")] < table["kl_uniform"][("level-1", "random")]


@pytest.mark.long
def test_churn_against_the_last_version(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    first, _ = profile(pool(tmp_path / "pool"), run)
    same, _ = profile(pool(tmp_path / "pool"), run, previous=first)
    assert Profile.open(same).totals["churn"][0] == 0.0
    assert "previous" in set(Profile.open(same).balance["stage"])
    other, _ = profile(pool(tmp_path / "pool"), run, previous=first, seed=9, strategy="random")
    assert Profile.open(other).totals["churn"][0] > 0.3


def test_a_row_with_two_dispositions_fails_the_run(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    inputs = pool(tmp_path / "pool")
    _, inputs = profile(inputs, run)
    path = f"{inputs['sample'].uri}/selection.parquet"
    table = pq.read_table(path).to_pandas()
    table.loc[0, "row_id"] = 10
    pq.write_table(pa.Table.from_pandas(table.sort_values("row_id"), preserve_index=False), path)
    again = {**inputs, "sample": StepRef(**{**inputs["sample"].model_dump(), "key": "tampered"})}
    with pytest.raises(AccountingError, match="dropped and selected"):
        MEASURE(MeasureConfig(), MeasureInputs.of(again), run)


def test_rows_lost_on_the_way_fail_the_run(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    _, inputs = profile(pool(tmp_path / "pool"), run)
    counts = {**inputs["ingest"].counts, "read": 407}
    inputs["ingest"] = StepRef(**{**inputs["ingest"].model_dump(), "counts": counts, "key": "other"})
    with pytest.raises(AccountingError, match="407"):
        MEASURE(MeasureConfig(), MeasureInputs.of(inputs), run)
