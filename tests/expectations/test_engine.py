"""Great Expectations gives our verdicts, writes pages that need no network, and never fails open."""

import re
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from evenkeel.expectations.engine import evaluate
from evenkeel.expectations.expectation import UnknownScope
from evenkeel.expectations.suites import EXPECTATIONS, suite
from evenkeel.tasks.validate.config import GatesConfig
from tests.expectations.profiles import filled, planted, tables, zipf

EVIL = "<script>alert(1)</script>\x1b[31m$name"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data Docs of a version in which one foul-named group took a fifth of the rows."""
    folder = tmp_path_factory.mktemp("site")
    shares = tables()["shares"]
    shares.loc[shares["name"] == "lang-30", "name"] = EVIL
    evaluate(suite("strict"), tables(shares=planted(shares, "group.language", EVIL, 0.2)), folder)
    return folder


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
            assert result.blame == tuple(measured.blame)


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


def test_an_expectation_that_great_expectations_drops_counts_as_failed() -> None:
    code = """
        import great_expectations.expectations.registry as registry
        from evenkeel.expectations.engine import evaluate
        from evenkeel.expectations.suites import suite
        from tests.expectations.profiles import planted, tables

        import evenkeel.expectations.great  # registers our classes

        registry._registered_expectations.pop("expect_largest_share")  # as in a process that never imported it
        found = tables(shares=planted(tables()["shares"], "level-1", "399", 0.2))
        for one in evaluate(suite("first-version"), found):
            if one.expectation == "largest_share":
                print(one.status, "|", one.reason)
    """
    run = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=False)
    assert run.stdout.startswith("failed"), run.stdout + run.stderr[-2000:]


def test_every_expectation_has_a_class_of_great_expectations() -> None:
    from great_expectations.expectations.registry import get_expectation_impl

    for model in EXPECTATIONS:
        name = f"expect_{model.model_fields['expect'].default}"
        assert get_expectation_impl(name).__doc__ == model.__doc__


def test_data_docs_have_a_page_for_every_concern_and_load_nothing(site: Path) -> None:
    pages = {page.name: page.read_text() for page in site.iterdir()}
    assert {"index.html", "balance-shares.html", "drift-shares.html", "accounting-totals.html"} <= pages.keys()
    for name, page in pages.items():
        assert not re.findall(r"""(?:src|href)=["'](?!#|[a-z-]+\.html)[^"']*""", page), name
        assert not re.search(r"<script|@import|url\(", page), name
    assert set(re.findall(r'href="([^"]+)"', pages["index.html"])) == pages.keys() - {"index.html"}


def test_the_index_tells_failures_from_warnings_and_puts_them_first(site: Path) -> None:
    index = (site / "index.html").read_text()
    assert index.index("✕ failed") < index.index("Drift: clusters and groups") < index.index("✓ passed")
    assert "Data asset" not in (site / "drift-shares.html").read_text()


def test_data_docs_say_what_failed_and_who_is_to_blame(site: Path) -> None:
    page = (site / "drift-shares.html").read_text()
    assert "✕" in page
    assert "of the rows changed class" in page
    assert "alert(1)" in page
    assert "<script>" not in page
    assert "\x1b" not in page
    assert "$name" in page


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
