"""Bins: numbers and dates become a group column for strategies, shares, gates and the profile."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from evenkeel.flows.around_clustering import compute_signal
from evenkeel.flows.recipe import parse
from evenkeel.infra.errors import RecipeError
from evenkeel.infra.workspace import StepRef
from evenkeel.tasks.ingest.pool import Pool
from evenkeel.tasks.measure.config import MeasureConfig
from evenkeel.tasks.measure.inputs import MeasureInputs
from evenkeel.tasks.measure.profile import Profile
from evenkeel.tasks.measure.step import MEASURE
from evenkeel.tasks.sample.config import SamplingConfig
from evenkeel.tasks.signal.kinds.bins import BinsSignal, periods, widths
from evenkeel.tasks.step import InProcess
from tests.sample.pools import make_run, sampled, write_pool

ROWS = 600
LENGTH = np.random.default_rng(5).gamma(2.0, 40.0, ROWS).round(1).astype(np.float32)
LENGTH[7] = np.nan


def pool(folder: Path, block_rows: int = 128) -> dict[str, StepRef]:
    leaf = np.arange(ROWS) % 3
    return write_pool(folder, np.eye(3)[leaf], levels=[leaf], scores={"length": LENGTH}, block_rows=block_rows)


def labels(ref: StepRef, done: dict[str, StepRef], name: str = "length") -> list[str]:
    opened = Pool.open(done["ingest"], signals={name: ref})
    assert opened.groups == (name,)
    return [one for block in opened.blocks for one in opened.table(block, [f"group.{name}"])[0].to_pylist()]


@pytest.mark.parametrize("block_rows", [128, 57])
def test_quantiles_hold_equally_many_rows(tmp_path: Path, block_rows: int) -> None:
    done = pool(tmp_path, block_rows)
    ref = compute_signal(BinsSignal(name="length", quantiles=10), done, InProcess(make_run(tmp_path)))
    found = np.array(labels(ref, done))
    assert found[7] == "(none)"
    assert ref.counts == {"rows": ROWS, "missing": 1}
    names, counts = np.unique(found, return_counts=True)
    assert names.tolist() == ["(none)", *(f"q{one:02d}" for one in range(1, 11))]
    assert counts[1:].min() >= 57
    assert counts[1:].max() <= 63
    order = np.argsort(LENGTH[found != "(none)"], kind="stable")
    assert (np.diff([int(one[1:]) for one in found[found != "(none)"][order]]) >= 0).all()


def test_a_later_version_keeps_the_edges(tmp_path: Path) -> None:
    first = pool(tmp_path / "a")
    signal = BinsSignal(name="length", quantiles=4)
    facts = compute_signal(signal, first, InProcess(make_run(tmp_path / "a"))).facts
    pinned = signal.pinned(facts)
    assert pinned.edges == facts["edges"]
    assert len(pinned.edges) == 3
    leaf = np.zeros(40, np.int64)
    shifted = np.full(40, 1e6, np.float32)
    more = write_pool(tmp_path / "b", np.eye(2)[leaf], levels=[leaf], scores={"length": shifted})
    run_step = InProcess(make_run(tmp_path / "b"))
    assert set(labels(compute_signal(pinned, more, run_step), more)) == {"q4"}
    assert set(labels(compute_signal(signal, more, run_step), more)) == {"q1"}, "without them its own edges"
    assert BinsSignal(name="length", quantiles=5).pinned(facts).edges == [], "other bins find edges of their own"


def test_bins_are_groups_that_strategies_shares_and_the_profile_use(tmp_path: Path) -> None:
    done, run = pool(tmp_path), make_run(tmp_path)
    done["signals.length"] = compute_signal(BinsSignal(name="length", width=50), done, InProcess(run))
    config: dict[str, Any] = {
        "target": 120,
        "strategy": {"name": "uniform", "groups": ["length"]},
        "shares": [{"group": "length", "value": "[0, 50)", "at_most": 0.1}],
    }
    done["sample"] = sampled(SamplingConfig.model_validate(config), done, run)
    measured = MEASURE(MeasureConfig(), MeasureInputs.of(done), run)
    table = Profile.open(measured).groups.set_index("value")
    pool_counts = {
        f"[{low}, {low + 50})": int(((low <= LENGTH) & (low + 50 > LENGTH)).sum()) for low in range(0, 500, 50)
    }
    assert table["before"].to_dict() == {"(none)": 1} | {name: rows for name, rows in pool_counts.items() if rows}
    assert table["after"]["[0, 50)"] == 12
    assert table["after"].sum() == 120
    scopes = set(Profile.open(measured).balance["scope"])
    assert "group.length" in scopes


def test_widths_and_edges_say_where_they_begin() -> None:
    numbers = np.array([0.0, 0.3, 0.29999, -0.1, np.nan, 5.0])
    assert widths(numbers, 0.1).to_pylist() == [
        "[0, 0.1)", "[0.3, 0.4)", "[0.2, 0.3)", "[-0.1, 0)", None, "[5, 5.1)",
    ]  # fmt: skip
    assert widths(np.array([1e9 + 7]), 5).to_pylist() == ["[1000000005, 1000000010)"]


def test_dates_fall_into_periods() -> None:
    start = datetime(2024, 12, 30, 23, 30, tzinfo=UTC)
    times = [start, start + timedelta(days=3), None]
    column = pa.chunked_array([pa.array(times, pa.timestamp("ms", "UTC"))])
    expected = {
        "year": ["2024", "2025", None],
        "quarter": ["2024-Q4", "2025-Q1", None],
        "month": ["2024-12", "2025-01", None],
        "week": ["2025-W01", "2025-W01", None],
        "day": ["2024-12-30", "2025-01-02", None],
    }
    assert {by: periods(column, by, "t", "here").to_pylist() for by in expected} == expected  # type: ignore[arg-type]
    texts = pa.chunked_array([["2024-05-31T10:00:00Z", "2024-06-01", "June", None]])
    assert periods(texts, "month", "t", "here").to_pylist() == ["2024-05", "2024-06", None, None]
    with pytest.raises(RecipeError, match="does not hold dates"):
        periods(pa.chunked_array([["2024-02-31"]]), "month", "t", "here")
    with pytest.raises(RecipeError, match="does not hold dates"):
        periods(pa.chunked_array([[1, 2]]), "month", "t", "here")


@pytest.mark.parametrize("kind", [pa.date32(), pa.date64(), pa.timestamp("us", "UTC"), pa.time64("us")])
@pytest.mark.parametrize("rule", [{"quantiles": 4}, {"width": 100}, {"edges": [0, 1]}])
def test_dates_are_cut_by_periods_alone_and_it_is_said(kind: pa.DataType, rule: dict[str, Any]) -> None:
    with pytest.raises(RecipeError, match="cut by periods") as refused:
        BinsSignal(name="day", **rule)._labels(pa.chunked_array([], kind), [0.0], "signals, day")
    assert "by: year, quarter, month, week, day" in str(refused.value)


def test_the_section_of_bins_is_read_as_signals() -> None:
    base: dict[str, Any] = {
        "dataset": "d",
        "source": {"uri": "s", "text": "t", "scores": ["length"], "groups": ["topic"]},
        "destination": {"uri": "p"},
        "sampling": {"target": 9},
    }
    recipe = parse({**base, "bins": {"length": {"quantiles": 10}, "published": {"by": "month"}, "y": {"width": 5}}})
    assert [(signal.kind, signal.name) for signal in recipe.signals] == [
        ("bins", "length"),
        ("bins", "published"),
        ("bins", "y"),
    ]
    assert parse(recipe.model_dump(mode="json")) == recipe
    parse({**base, "bins": {"y": {"width": 5}}, "gates": {"add": [{"expect": "psi", "scope": "group.y"}]}})
    for bins, message in [
        ({"y": {}}, "one of quantiles, width, by and edges"),
        ({"y": {"width": 5, "by": "day"}}, "one of quantiles, width, by and edges"),
        ({"y": {"edges": [3, 1]}}, "ascend"),
        ({"topic": {"width": 5}}, "'topic' is a group already"),
        (["y"], "bins: expected columns with a rule each"),
    ]:
        with pytest.raises(RecipeError, match=message):
            parse({**base, "bins": bins})
