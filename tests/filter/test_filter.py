"""Filters: which rows leave by which rule, checked by hand; the ledger, late filters and removal rates."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from evenkeel.infra.errors import InputError, RecipeError
from evenkeel.infra.tables import read_table
from evenkeel.infra.workspace import StepRef
from evenkeel.tasks.cluster.hierarchy import Hierarchy
from evenkeel.tasks.cluster.thin import THIN, ThinConfig, ThinInputs
from evenkeel.tasks.dedup.duplicates import Duplicates
from evenkeel.tasks.dedup.ledger import SCHEMA, filtered_rows, merged
from evenkeel.tasks.filter.config import FilterConfig, FilterRule
from evenkeel.tasks.filter.inputs import FilterInputs
from evenkeel.tasks.filter.step import FILTER
from evenkeel.tasks.sample.config import SamplingConfig
from evenkeel.tasks.sample.selection import Selection
from tests.sample.pools import make_run, sampled, write_pool

ROWS = 200
LOSS = np.random.default_rng(0).permutation(ROWS) / ROWS
LANGUAGE = np.where(np.arange(ROWS) % 4 == 0, "de", "en")
TOXIC = np.where(np.arange(ROWS) % 20 == 3, np.nan, (np.arange(ROWS) * 7 % ROWS) / ROWS)
STORED = TOXIC.astype(np.float32).astype(np.float64)  # scores are float32
LEAF = np.arange(ROWS) % 5


def pool(folder: Path, **options: Any) -> dict[str, StepRef]:
    columns: dict[str, Any] = {
        "groups": {"language": LANGUAGE.tolist(), "licence": ["MIT" if n % 3 else None for n in range(ROWS)]},
        "scores": {"loss": LOSS, "toxic": TOXIC},
    }
    return write_pool(folder, np.eye(5)[LEAF], levels=[LEAF], **{**columns, **options})


def filtered(folder: Path, done: dict[str, StepRef], *rules: dict[str, Any], dedup: bool = False) -> StepRef:
    config = FilterConfig(rules=[FilterRule.model_validate(rule) for rule in rules], sizes=dedup)
    inputs = FilterInputs(done["ingest"], done["dedup"] if dedup else None)
    return FILTER(config, inputs, make_run(folder))


def leavers(ref: StepRef) -> dict[int, str]:
    table = read_table(f"{ref.uri}/dropped.parquet").to_pylist()
    return {row["row_id"]: row["rule"] for row in table if row["kind"] == "filtered"}


def below_quantile(share: float) -> set[int]:
    gone = set[int]()
    for language in ("de", "en"):
        mine = np.flatnonzero(language == LANGUAGE)
        gone |= set(mine[np.argsort(LOSS[mine])][: round(share * len(mine)) - 1].tolist())
    return gone


def everything(condition: np.ndarray) -> set[int]:
    return set(np.flatnonzero(condition).tolist())


@pytest.mark.parametrize(
    ("rule", "gone"),
    [
        ({"drop": "toxic > 0.8"}, everything(STORED > 0.8)),
        ({"keep": "toxic <= 0.8"}, everything(STORED > 0.8)),
        ({"keep": "toxic <= 0.8", "missing": "drop"}, everything(~(STORED <= 0.8))),
        ({"keep": "licence in ['MIT'] or language == 'de'"}, set()),
        ({"keep": "licence in ['MIT']", "missing": "drop"}, everything(np.arange(ROWS) % 3 == 0)),
        ({"drop": "loss below quantile 0.3", "by": "language"}, below_quantile(0.3)),
        ({"window": "loss", "bins": 10, "keep": [0.2, 0.7]}, everything((LOSS < 0.2) | (LOSS >= 0.7))),
        ({"drop": "licence is null and loss >= 0.5"}, everything((np.arange(ROWS) % 3 == 0) & (LOSS >= 0.5))),
    ],
)
def test_a_rule_removes_the_rows_that_it_says(tmp_path: Path, rule: dict[str, Any], gone: set[int]) -> None:
    ref = filtered(tmp_path, pool(tmp_path), rule)
    assert set(leavers(ref)) == gone
    assert ref.counts == {"rows": ROWS, "kept": ROWS - len(gone), "filtered": len(gone)}


def test_the_first_rule_that_holds_is_the_reason_and_missing_values_are_counted(tmp_path: Path) -> None:
    done = pool(tmp_path)
    ref = filtered(tmp_path, done, {"drop": "loss < 0.5"}, {"drop": "toxic > 0.8"})
    by_rule = Counter(leavers(ref).values())
    second = everything((LOSS >= 0.5) & (STORED > 0.8))
    assert by_rule == {"drop loss < 0.5": 100, "drop toxic > 0.8": len(second)}
    missing = [rule["missing"] for rule in ref.facts["filtered"]["rules"]]
    assert missing == [0, int(np.isnan(TOXIC[LOSS >= 0.5]).sum())]
    assert sum(ref.facts["filtered"]["groups"]["language"].values()) == ref.counts["filtered"]
    assert sum(ref.facts["filtered"]["shards"].values()) == ref.counts["filtered"]


def test_a_soft_threshold_keeps_by_chance_the_same_rows_in_any_blocks(tmp_path: Path) -> None:
    rule = {"drop": "toxic > 0.8", "soft": {"above": 0.3, "keep": 0.5}}
    found = [
        set(leavers(filtered(tmp_path / str(size), pool(tmp_path / str(size), block_rows=size), rule)))
        for size in (64, 17)
    ]
    assert found[0] == found[1]
    hard, soft = everything(STORED > 0.8), everything((TOXIC > 0.31) & (TOXIC < 0.79))
    assert hard <= found[0] <= everything(STORED > 0.3)
    assert len(soft & found[0]) == pytest.approx(len(soft) / 2, abs=3 * (len(soft) / 4) ** 0.5)


def test_longer_training_keeps_more_of_the_best(tmp_path: Path) -> None:
    quality = np.linspace(0, 1, ROWS) ** 3
    done = pool(tmp_path, scores={"quality": quality})
    kept = [filtered(tmp_path, done, {"best": "quality", "epochs": n}).counts["kept"] for n in (0.1, 3, 300)]
    assert kept[0] < kept[1] < kept[2]
    gone = leavers(filtered(tmp_path, done, {"best": "quality", "epochs": 3}))
    assert max(gone) < min(set(range(ROWS)) - set(gone)), "the best stay"


def test_the_best_are_those_of_their_group_and_a_group_without_scores_stays_whole(tmp_path: Path) -> None:
    quality = np.where(LANGUAGE == "de", np.nan, np.linspace(0, 1, ROWS) ** 3)
    done = pool(tmp_path, scores={"quality": quality})
    gone = set(leavers(filtered(tmp_path, done, {"best": "quality", "epochs": 0.5, "by": "language"})))
    assert gone
    assert not gone & set(np.flatnonzero(LANGUAGE == "de"))


@pytest.mark.parametrize(
    ("rules", "error", "match"),
    [
        (
            [{"drop": "loss < 0.5"}, {"keep": "loss > 7"}],
            RecipeError,
            r"'keep loss > 7' leaves no row(.|\n)*100 rows(.|\n)*200",
        ),
        ([{"drop": "toxik > 0.8"}], RecipeError, r"no column 'toxik'(.|\n)*filters(.|\n)*toxic"),
        ([{"drop": "language > 0.8"}], RecipeError, r"type(.|\n)*language"),
        ([{"drop": "1 / loss > 9"}], InputError, r"division by zero(.|\n)*row_id"),
        ([{"window": "language", "keep": [0, 0.5]}], RecipeError, "does not hold numbers"),
        (
            [{"drop": "language == 'fr'", "soft": {"above": 1, "keep": 0.5}}],
            RecipeError,
            r"'language', which holds no numbers(.|\n)*string",
        ),
        ([{"best": "below_zero", "epochs": 2}], RecipeError, "at least 0"),
    ],
)
def test_a_rule_that_cannot_be_applied_is_named(
    tmp_path: Path, rules: list[dict[str, Any]], error: type[Exception], match: str
) -> None:
    done = pool(tmp_path, scores={"loss": LOSS, "toxic": TOXIC, "below_zero": -LOSS})
    with pytest.raises(error, match=match):
        filtered(tmp_path, done, *rules)


@pytest.mark.parametrize(
    ("rule", "match"),
    [
        ({}, "exactly one"),
        ({"keep": "a", "drop": "b"}, "exactly one"),
        ({"window": "loss"}, "the range of ranks"),
        ({"window": "loss", "keep": [0.2, 0.21]}, "holds none of 20 bins"),
        ({"keep": [0.1, 0.5]}, "unless it stands with window|exactly one"),
        ({"best": "q"}, "epochs"),
        ({"drop": "a > 1", "epochs": 2}, "epochs"),
        ({"drop": "a >"}, "not understood"),
        ({"drop": "a > b", "soft": {"above": 1, "keep": 0.5}}, "which column"),
        ({"drop": "a > 1", "soft": {"keep": 0.5}}, "above or below"),
        ({"keep": "1 > 2"}, "'keep 1 > 2' names no column"),
        ({"window": "a", "keep": [0, 0.5], "soft": {"of": "b", "above": 1, "keep": 0.5}}, "does not read 'soft'"),
        ({"drop": "a > 1", "by": "language"}, "does not read 'by': it is the group of the quantiles"),
        ({"drop": "a > 1", "bins": 4}, "does not read 'bins'"),
        ({"window": "a", "keep": [0, 0.5], "half_life": 2}, "does not read 'half_life'"),
    ],
)
def test_a_rule_that_says_two_things_or_none_is_refused(rule: dict[str, Any], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        FilterRule.model_validate(rule)


def test_two_ledgers_are_merged_in_order_group_by_group() -> None:
    rng = np.random.default_rng(1)
    ids = rng.choice(1000, 300, replace=False).astype(np.uint64)
    sides = [np.sort(ids[:120]), np.sort(ids[120:])]
    tables = [
        iter([filtered_rows(part, pa.nulls(len(part), pa.string())) for part in np.array_split(side, cuts)])
        for side, cuts in zip(sides, (7, 3), strict=True)
    ]
    found = pa.concat_tables([SCHEMA.empty_table(), *merged(*tables)])
    assert found["row_id"].to_pylist() == sorted(ids.tolist())


def test_a_filter_after_clustering_leaves_the_same_clusters_without_its_rows(tmp_path: Path) -> None:
    drop = {7: (2, "exact"), 12: (2, "exact"), 33: (3, "near")}
    done = pool(tmp_path, drop=drop)
    before = Hierarchy.open(done["cluster"])
    ref = filtered(tmp_path, done, {"drop": "loss < 0.25"}, dedup=True)
    gone = everything(LOSS < 0.25) - set(drop)
    assert set(leavers(ref)) == gone
    assert Duplicates.open(ref).dropped()["row_id"].to_pylist() == [7, 12, 33]
    run = make_run(tmp_path)
    thinned = THIN(ThinConfig(), ThinInputs(ref, done["cluster"]), run)
    after = Hierarchy.open(thinned)
    left = np.setdiff1d(np.arange(ROWS), [*gone, *drop])
    assert after.rows()["row_id"].to_pylist() == left.tolist()
    assert after.levels[0].counts.tolist() == np.bincount(LEAF[left], minlength=5).tolist()
    assert after.centroid_hash == before.centroid_hash
    config = SamplingConfig.model_validate({"target": len(left), "strategy": "flat"})
    selection = sampled(config, {**done, "dedup": ref, "cluster": thinned}, run)
    assert Selection.open(selection).row_ids().tolist() == left.tolist()


def test_removal_rates_by_group_size_are_those_of_a_hand_count(tmp_path: Path) -> None:
    """Sizes 1, 2 and 3 lose 25, 10 and 20 percent of their rows, all of them 27 of 130: a table worked out by hand."""
    drop = {row + 100: (row, "exact") for row in range(50)} | {row + 150: (row, "exact") for row in range(20)}
    loss = np.zeros(ROWS)
    loss[[*range(4), *range(20, 23), *range(50, 70)]] = 1
    done = pool(tmp_path, scores={"loss": loss}, drop=drop)
    ref = filtered(tmp_path, done, {"drop": "loss > 0.5"}, dedup=True)
    assert ref.facts["sizes"] == {"1": [80, 20], "2": [30, 3], "3": [20, 4]}
    thinned = THIN(ThinConfig(), ThinInputs(ref, done["cluster"]), make_run(tmp_path))
    config = SamplingConfig.model_validate({"target": 103, "strategy": "flat", "rehydrate": "auto"})
    made = sampled(config, {**done, "dedup": ref, "cluster": thinned}, make_run(tmp_path))
    assert made.facts["rehydrate"] == {"1": 1, "2": 3, "3": 5}, "27 of 130 leave; means of five .21 .20 .19"
