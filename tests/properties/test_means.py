"""Metrics by group: the numbers of Fairlearn, intervals that hold the truth, and groups of one row that are said."""

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from fairlearn.metrics import MetricFrame, mean_prediction, selection_rate
from pydantic import ValidationError
from sklearn.metrics import accuracy_score

from evenkeel.expectations.concerns.fairness import MetricByGroup, SelectionRate
from evenkeel.expectations.measures import between_groups
from evenkeel.infra.compute import Compute
from evenkeel.tasks.expression.property import parse_metric
from evenkeel.tasks.properties.means import mean_by_group, selection_by_group
from evenkeel.tasks.step import Run
from evenkeel.tasks.validate.config import GatesConfig
from evenkeel.tasks.validate.stated import measure_stated
from tests.properties.versions import write_version


def people(rows: int = 4000) -> pa.Table:
    """Return predictions for people of two sexes and four origins, worse for one of them, a few without a value."""
    rng = np.random.default_rng(4)
    sex, origin = rng.choice(["f", "m"], rows), rng.choice(["n", "e", "s", "w"], rows, p=[0.6, 0.3, 0.09, 0.01])
    label = rng.integers(0, 2, rows)
    right = rng.random(rows) < np.where(sex == "f", 0.7, 0.9)
    guess = np.where(right, label, 1 - label)
    return pa.table({"sex": sex, "origin": origin, "label": label, "guess": guess, "score": rng.normal(size=rows)})


@pytest.mark.long
def test_means_rates_and_their_comparisons_are_those_of_fairlearn(tmp_path: Path) -> None:
    table = people()
    frame, kept = table.to_pandas(), np.flatnonzero(np.random.default_rng(1).random(table.num_rows) < 0.4)
    rows = write_version(tmp_path, table, kept=kept.tolist(), block_rows=700)
    chosen = frame.iloc[kept]
    is_kept = np.isin(np.arange(len(frame)), kept).astype(int)
    for keys in (["sex"], ["origin"], ["sex", "origin"]):
        cases = {
            "accuracy": (
                mean_by_group(parse_metric("share(guess == label)", "here"), tuple(keys), rows, Compute()),
                MetricFrame(
                    metrics=accuracy_score, y_true=chosen.label, y_pred=chosen.guess, sensitive_features=chosen[keys]
                ),
            ),
            "mean": (
                mean_by_group(parse_metric("mean(score)", "here"), tuple(keys), rows, Compute()),
                MetricFrame(
                    metrics=mean_prediction, y_true=chosen.label, y_pred=chosen.score, sensitive_features=chosen[keys]
                ),
            ),
            "selection": (
                selection_by_group(tuple(keys), "", rows, Compute()),
                MetricFrame(metrics=selection_rate, y_true=is_kept, y_pred=is_kept, sensitive_features=frame[keys]),
            ),
        }
        for name, (ours, theirs) in cases.items():
            by_group = theirs.by_group if isinstance(theirs.by_group, pd.Series) else theirs.by_group.iloc[:, 0]
            expected = {
                key if isinstance(key, str) else ", ".join(key): value  # type: ignore[arg-type]
                for key, value in by_group.items()
            }
            means = ours.means()[:, :1]
            assert dict(zip(ours.names, means[:, 0].tolist(), strict=True)) == pytest.approx(expected, abs=1e-12), name
            assert between_groups(means, "lowest")[0] == pytest.approx(theirs.group_min(), abs=1e-12)
            assert between_groups(means, "highest")[0] == pytest.approx(theirs.group_max(), abs=1e-12)
            assert between_groups(means, "difference")[0] == pytest.approx(theirs.difference(), abs=1e-12)
            if name != "mean":  # of numbers of both signs Fairlearn's ratio is another
                assert between_groups(means, "ratio")[0] == pytest.approx(theirs.ratio(), abs=1e-12)


def test_the_bootstrap_has_the_spread_of_a_mean_and_no_block_changes_it(tmp_path: Path) -> None:
    table = people()
    metric = parse_metric("mean(score)", "here")
    found = mean_by_group(metric, ("sex",), write_version(tmp_path / "a", table, block_rows=700), Compute())
    again = mean_by_group(metric, ("sex",), write_version(tmp_path / "b", table, block_rows=64), Compute())
    assert found.names == again.names
    np.testing.assert_allclose(found.sums, again.sums, rtol=1e-12, atol=1e-12)
    error = 1 / math.sqrt(table.num_rows / 2)
    np.testing.assert_allclose(found.means()[:, 1:].std(axis=1), error, rtol=0.2)
    np.testing.assert_allclose(found.means()[:, 1:].mean(axis=1), found.means()[:, 0], atol=error / 4)


def test_gates_allow_for_noise_and_say_interval_and_groups_of_one_row(tmp_path: Path) -> None:
    table = people(1200)
    columns = {name: table[name].to_pylist() for name in table.column_names}
    columns["origin"] = ["x", *columns["origin"][1:]]
    columns["guess"] = [1 - columns["label"][0], *columns["guess"][1:]]
    rows = write_version(tmp_path, pa.table(columns), kept=range(0, 1200, 2), block_rows=500)
    accuracy = "share(guess == label)"
    gates = [
        MetricByGroup(metric=accuracy, group="sex", ratio_at_least=0.9),
        MetricByGroup(metric=accuracy, group="sex", ratio_at_least=0.7),
        MetricByGroup(metric=accuracy, group="origin", worst_at_least=0.5, confidence=0),
        MetricByGroup(metric=accuracy, group="origin", worst_at_least=0.5, min_rows=2),
        MetricByGroup(metric=accuracy, group=["sex", "origin"], difference_at_most=0.9),
        SelectionRate(group="sex", ratio_at_least=0.9, of="pool"),
        SelectionRate(group="sex", ratio_at_least=0.9),
        MetricByGroup(metric="mean(score)", group="origin", worst_at_least=0.5, min_rows=5000),
    ]
    table = measure_stated(gates, rows, "", 600, str(tmp_path / "scan"), True, Run("", "", tmp_path))
    one_sided, lenient, strict, without, crossed, rate, _, none = [one.measure(table) for one in gates]
    assert not gates[0].holds(one_sided)
    assert one_sided.offenders[0].name == "f"
    assert "95% interval" in gates[0].reason(one_sided)
    assert gates[1].holds(lenient)
    assert strict.value == 0
    assert not gates[2].holds(strict)
    assert "one row alone in x" in gates[2].reason(strict)
    assert gates[3].holds(without)
    assert "left out" in gates[3].reason(without)
    assert "x (1)" in gates[3].reason(without)
    assert not gates[4].holds(crossed)
    assert "one row alone in m, x" in gates[4].reason(crossed)
    assert gates[5].holds(rate)
    assert not gates[7].holds(none)
    assert gates[7].reason(none).startswith("vacuous")


def test_gates_that_cannot_be_meant_are_refused() -> None:
    for wrong in (
        {"expect": "metric_by_group", "metric": "sum(score)", "group": "sex", "worst_at_least": 1},
        {"expect": "metric_by_group", "metric": "score", "group": "sex", "worst_at_least": 1},
        {"expect": "metric_by_group", "metric": "mean(score)", "group": "sex"},
        {"expect": "selection_rate", "group": ["sex", "sex"], "ratio_at_least": 0.8},
        {"expect": "selection_rate", "group": "sex", "ratio_at_least": 0.8, "difference_at_most": 0.1},
    ):
        with pytest.raises(ValidationError):
            GatesConfig.model_validate({"add": [wrong]})
