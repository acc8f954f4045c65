"""Signals in the profile, on the card and in gates: what a count by hand says, and the worst group by name."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from evenkeel.expectations.concerns.signals import SignalBound
from evenkeel.flows.around_clustering import compute_signal
from evenkeel.infra.compute import Compute
from evenkeel.tasks.ingest.pool import Pool
from evenkeel.tasks.measure.config import MeasureConfig, signals_counted
from evenkeel.tasks.measure.inputs import MeasureInputs
from evenkeel.tasks.measure.profile import Profile
from evenkeel.tasks.measure.signal_use import median
from evenkeel.tasks.measure.step import MEASURE
from evenkeel.tasks.publish.config import StageConfig
from evenkeel.tasks.publish.staging.inputs import StageInputs
from evenkeel.tasks.publish.staging.step import STAGE, read_staged
from evenkeel.tasks.report.config import ReportConfig
from evenkeel.tasks.report.inputs import ReportInputs
from evenkeel.tasks.report.step import REPORT
from evenkeel.tasks.sample.config import SamplingConfig
from evenkeel.tasks.sample.selection import Selection
from evenkeel.tasks.signal.config import SignalRequest
from evenkeel.tasks.step import InProcess, Run
from evenkeel.tasks.validate.config import GatesConfig
from evenkeel.tasks.validate.inputs import ValidateInputs
from evenkeel.tasks.validate.step import VALIDATE
from evenkeel.tasks.versions.recount_signals import recount_signals
from tests.report.cards import RELAXED, Card
from tests.sample.pools import sampled
from tests.validate.pools import Curated, curate, write_shards

pytestmark = pytest.mark.long

GATES = [
    {"expect": "signal", "name": "score", "mean_at_least": 9, "by": "group.language"},
    {"expect": "signal", "name": "score", "mean_at_least": 2, "by": "group.language"},
    {"expect": "signal", "name": "score", "above": 8, "at_most": 0.005},
    {"expect": "signal", "name": "score", "missing_at_most": 0.5, "severity": "warn"},
]


@pytest.fixture(scope="module")
def curated(tmp_path_factory: pytest.TempPathFactory) -> Curated:
    folder = tmp_path_factory.mktemp("signals")
    shards = write_shards(folder / "shards", 900, hostile=False)
    scores(shards).to_csv(folder / "scores.csv", index=False)
    found = curate(folder, shards, levels=(30, 6))
    done, run = found.done, found.run
    joined = {"name": "score", "join": str(folder / "scores.csv")}
    longer = {"name": "length", "of": "length(text)"}
    for one in (joined, longer):
        signal = SignalRequest.model_validate({"signal": one, "version": 1}).signal
        done[f"signals.{signal.name}"] = compute_signal(signal, done, InProcess(run))
    done["sample"] = sampled(SamplingConfig(target=400, max_repeats=3), done, run)
    gates = GatesConfig.model_validate({**RELAXED, "add": GATES})
    done["measure"] = MEASURE(MeasureConfig(signals=signals_counted(gates.expectations())), MeasureInputs.of(done), run)
    done["validate"] = VALIDATE(gates, ValidateInputs.of(done), run)
    done["report"] = REPORT(ReportConfig(dataset="topics", version=1), ReportInputs.of(done), run)
    return found


def scores(shards: Path) -> pd.DataFrame:
    """Return a score for most rows: 5 and noise, 9 for a few; none of one language."""
    files = sorted(shards.iterdir())
    rows: pd.DataFrame = pd.concat([pq.read_table(file, columns=["id", "language"]).to_pandas() for file in files])
    rng = np.random.default_rng(1)
    rows["score"] = rng.normal(5, 0.3, len(rows))
    rows.loc[rows["language"] == "lang-2", "score"] -= 3
    rows.loc[rng.random(len(rows)) < 0.08, "score"] = 9.0
    shuffled: pd.DataFrame = rows[rows["language"] != "lang-5"].sample(frac=1, random_state=0)[["id", "score"]]
    return shuffled


@pytest.fixture(scope="module")
def by_hand(curated: Curated) -> pd.DataFrame:
    """Every row that sampling draws from, its scores, and how often the version has it."""
    done = curated.done
    pool = Pool.open(done["ingest"], signals={name: done[f"signals.{name}"] for name in ("score", "length")})
    columns = ["row_id", "score.score", "score.length", "group.language"]
    rows: pd.DataFrame = pd.concat([pool.table(block, columns).to_pandas() for block in pool.blocks])
    kept = Selection.open(done["sample"]).table().to_pandas().set_index("row_id")["copies"]
    dropped = pq.read_table(Path(done["dedup"].uri) / "dropped.parquet")["row_id"].to_pylist()
    there: pd.DataFrame = rows[~rows["row_id"].isin(dropped)]
    return there.assign(copies=there["row_id"].map(kept).fillna(0).astype(int))


def test_the_profile_says_what_a_count_by_hand_says(curated: Curated, by_hand: pd.DataFrame) -> None:
    lines = Profile.open(curated.done["measure"]).signals.set_index(["signal", "stage"])
    assert list(dict.fromkeys(name for name, _ in lines.index)) == ["score", "length"]
    assert by_hand["copies"].max() > 1
    for name in ("score", "length"):
        for stage, times in (("before", np.ones(len(by_hand), int)), ("after", by_hand["copies"])):
            values = np.repeat(by_hand[f"score.{name}"].to_numpy(), times)
            there, line = values[~np.isnan(values)], lines.xs((name, stage))
            assert (line["rows"], line["missing"]) == (len(values), len(values) - len(there))
            found = line[["least", "median", "mean", "greatest"]].astype(float)
            np.testing.assert_allclose(found, [there.min(), np.median(there), there.mean(), there.max()])
    bins = Profile.open(curated.done["measure"]).signal_bins
    np.testing.assert_allclose(bins.groupby("signal")[["before", "after"]].sum().to_numpy(), 1)


def test_a_gate_on_a_signal_names_the_worst_group(curated: Curated, by_hand: pd.DataFrame) -> None:
    facts = curated.done["validate"].facts
    failed = {one["expectation"]: one for one in facts["failed"]}
    mean = by_hand.groupby("group.language").apply(lambda rows: np.average(rows["score.score"], weights=rows["copies"]))
    assert mean.idxmin() == "lang-2"
    by_language = failed["signal(score, mean, by group.language)"]
    assert f"{mean['lang-2']:.4g}" in by_language["reason"]
    assert by_language["reason"].endswith("at least 9, worst in lang-2")
    assert by_language["offenders"][0].startswith("group.language lang-2: ")
    beyond = (by_hand["copies"] * (by_hand["score.score"] > 8)).sum()
    whole = by_hand.loc[by_hand["score.score"].notna(), "copies"].sum()
    assert f"{beyond / whole:.1%}".replace("%", "\u00a0%") in failed["signal(score, above 8)"]["reason"]
    assert not [name for name in failed if "missing" in name]
    assert sum("signal(score" in name for name in failed) == 2  # a mean of at least 2 holds in every language


def test_the_card_and_the_report_of_a_run_sum_up_signals(curated: Curated) -> None:
    card = Card(curated.done["report"], curated.done["validate"])
    assert 'id="signals"' in card.html
    assert "Histogram of score, before and after" in card.html
    assert "score: the median" in card.html or "length: the median" in card.html
    assert "| signal | least | median |" in card.summary
    assert "| score | 0.935" in card.summary


def test_sums_of_signals_are_those_of_any_number_of_workers(curated: Curated, by_hand: pd.DataFrame) -> None:
    run = curated.run
    again = Run(f"{run.workspace}-again", run.dataset, run.scratch, Compute(threads=3))
    config = MeasureConfig(signals=signals_counted([SignalBound(name="score", mean_at_least=1, by="group.language")]))
    other = Profile.open(MEASURE(config, MeasureInputs.of(curated.done), again))
    first = Profile.open(curated.done["measure"])
    pd.testing.assert_frame_equal(other.signals, first.signals, check_exact=True)
    pd.testing.assert_frame_equal(other.signal_bins, first.signal_bins, check_exact=True)
    worst = other.signal_bounds.sort_values("mean").iloc[0]
    assert worst["value"] == "lang-2"
    rows = by_hand[by_hand["group.language"] == "lang-2"]
    values = np.repeat(rows["score.score"], rows["copies"])
    assert worst["deviation"] == pytest.approx(values.std(ddof=1))


def test_a_version_made_anew_from_its_files_has_the_same_signals(curated: Curated, tmp_path: Path) -> None:
    done, before = curated.done, Profile.open(curated.done["measure"])
    staged = read_staged(STAGE(StageConfig(uri=str(tmp_path / "published")), StageInputs.of(done), curated.run))
    gates = GatesConfig.model_validate({**RELAXED, "add": GATES})
    again = recount_signals(staged, before, signals_counted(gates.expectations()))
    for name, table in again.items():
        pd.testing.assert_frame_equal(table, getattr(before, name))
    assert set(again) == {"signals", "signal_bins", "signal_bounds"}


def test_the_median_of_copies_is_that_of_the_repeated_values() -> None:
    rng = np.random.default_rng(0)
    for size in (1, 2, 3, 50):
        values, copies = rng.integers(0, 9, size).astype(float), rng.integers(1, 4, size)
        assert median(np.stack([values, copies])) == np.median(np.repeat(values, copies))
    assert np.isnan(median(np.empty((2, 0))))


@pytest.mark.parametrize(
    ("bound", "words"),
    [
        ({}, "exactly one of"),
        ({"mean_at_least": 1, "below": 2}, "found mean_at_least and below"),
        ({"mean_at_least": 1, "at_most": 0.2}, "give below or above"),
        ({"below": float("nan")}, "finite"),
        ({"mean_at_least": 1, "by": "language"}, "pattern"),
    ],
)
def test_a_gate_that_cannot_be_meant_is_refused(bound: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        SignalBound(name="score", **bound)
