"""Great Expectations gives our verdicts and never fails open."""

import subprocess
import sys
import textwrap
import time
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import pytest

from evenkeel.expectations.engine import evaluate
from evenkeel.expectations.expectation import EXPECTATIONS, Expectation, UnknownScope
from evenkeel.expectations.result import Finding
from evenkeel.expectations.suites import suite
from evenkeel.tasks.validate.config import GatesConfig
from tests.expectations.profiles import filled, planted, tables, zipf


def test_a_good_version_passes_every_expectation_that_applies() -> None:
    results = evaluate(suite("default"), tables())
    assert [one.label for one in results] == [one.label for one in suite("default")]
    assert {one.status for one in results} == {"passed"}


def test_verdicts_are_those_of_the_expectations_themselves() -> None:
    found = tables(shares=planted(tables()["shares"], "level-1", "399", 0.2))
    expectations = suite("strict")
    for one, result in zip(expectations, evaluate(expectations, found), strict=True):
        measured = one.measure(found[one.table])
        assert (result.status == "passed") == one.holds(measured), one.label
        assert result.value == pytest.approx(measured.value, abs=1e-12)
        if result.status != "passed":
            assert result.status == ("failed" if one.severity == "block" else "warned")
            assert result.offenders == tuple(measured.offenders)


def test_the_first_version_skips_drift_and_says_why() -> None:
    shares = tables()["shares"].assign(previous=float("nan"))
    results = {one.label: one for one in evaluate(suite("default"), tables(shares=shares))}
    assert results["psi(groups, previous)"].status == "skipped"
    assert "no last version" in results["psi(groups, previous)"].reason
    assert not [one for one in results.values() if one.status == "failed"]


def test_a_suite_that_names_what_is_not_there_is_an_error_not_a_pass() -> None:
    config = GatesConfig.model_validate({"add": [{"expect": "gini", "scope": "group.colour"}]})
    with pytest.raises(UnknownScope, match=r"gini\(group.colour\).*it has group.language, level-1"):
        evaluate(config.expectations(), tables())


def test_an_expectation_that_raises_counts_as_failed_even_where_it_only_warns() -> None:
    broken = tables()
    broken["totals"] = broken["totals"].drop(columns=["target"])
    results = {one.label: one for one in evaluate(suite("default"), broken)}
    assert results["target_reached"].severity == "warn"
    assert results["target_reached"].status == "failed"
    assert "target" in results["target_reached"].reason


@pytest.mark.long
def test_an_expectation_that_great_expectations_does_not_know_counts_as_failed() -> None:
    code = """
        import great_expectations.expectations.registry as registry
        from evenkeel.expectations import great
        from evenkeel.expectations.concerns.balance import LargestShare
        from evenkeel.expectations.engine import evaluate
        from evenkeel.expectations.suites import suite
        from tests.expectations.profiles import planted, tables

        great._class_of(LargestShare)
        registry._registered_expectations.pop("expect_largest_share")  # as in a process that never imported it
        found = tables(shares=planted(tables()["shares"], "level-1", "399", 0.2))
        for one in evaluate(suite("first-version"), found):
            if one.expectation == "largest_share":
                print(one.status, "|", one.reason)
    """
    run = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=False)
    assert run.stdout.startswith("failed"), run.stdout + run.stderr[-2000:]


def test_an_expectation_that_great_expectations_drops_counts_as_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    from evenkeel.expectations import great

    def forgetful(expectations: Sequence[Expectation], given: Mapping[str, pd.DataFrame]) -> dict[int, Finding]:
        return {number: found for number, found in find(expectations, given).items() if number != 2}

    find = great.find
    monkeypatch.setattr(great, "find", forgetful)
    statuses = [one.status for one in evaluate(suite("first-version"), tables())]
    assert statuses[2] == "failed"
    assert set(statuses[:2] + statuses[3:]) == {"passed"}


def test_every_expectation_has_a_class_of_great_expectations() -> None:
    from great_expectations.expectations.registry import get_expectation_impl

    from evenkeel.expectations import great

    for model in EXPECTATIONS.ours().values():
        name = f"expect_{model.model_fields['expect'].default}"
        assert great._class_of(model) is get_expectation_impl(name)
        assert get_expectation_impl(name).__doc__ == model.__doc__


@pytest.mark.long
def test_100_000_clusters_are_checked_within_seconds() -> None:
    before = zipf(100_000, 1e7)
    after = filled(before, 500_000)
    shares = tables()["shares"]
    clusters = pd.DataFrame({"scope": "level-1", "name": np.arange(100_000).astype(object), "before": before})
    clusters = clusters.assign(after=after, planned=after, previous=after, radius=0.5, near_duplicate_rate=0.01)
    many = pd.concat([clusters, shares[shares["scope"] != "level-1"]], ignore_index=True)
    spent = time.process_time()
    results = evaluate(suite("default"), tables(shares=many))
    assert time.process_time() - spent < 5
    assert {one.status for one in results} == {"passed"}
