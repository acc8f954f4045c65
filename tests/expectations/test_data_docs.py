"""Data Docs say what was checked, what was found and which rows show it, and load nothing."""

import html
import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from evenkeel.expectations.data_docs import Subject, render_data_docs
from evenkeel.expectations.engine import evaluate
from evenkeel.expectations.result import Result, Status
from evenkeel.expectations.suites import suite
from tests.expectations.profiles import planted, tables

EVIL = "<script>alert(1)</script>\x1b[31m$name"


def write(results: Sequence[Result], folder: Path) -> None:
    for name, page in render_data_docs(results, Subject("notes", "version 3", "2026-03-31")).items():
        (folder / name).write_text(page)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data Docs of a version in which one hostile-named group took a fifth of the rows."""
    folder = tmp_path_factory.mktemp("site")
    shares = tables()["shares"]
    shares.loc[shares["name"] == "lang-30", "name"] = EVIL
    write(evaluate(suite("strict"), tables(shares=planted(shares, "group.language", EVIL, 0.2))), folder)
    return folder


def test_data_docs_have_a_page_for_every_concern_and_load_nothing(site: Path) -> None:
    pages = {page.name: page.read_text() for page in site.iterdir()}
    assert pages.keys() == {"index.html", *(f"{one.concern}.html" for one in suite("strict"))}
    for name, page in pages.items():
        assert not re.findall(r"""(?:src|href)=["'](?!#|[a-z-]+\.html|\.\./card\.html)[^"']*""", page), name
        assert not re.search(r"<script|<link|@import|url\(", page), name
    assert set(re.findall(r'href="([^"#]+)"', pages["index.html"])) == {*pages, "../card.html"}


def test_the_index_says_the_verdict_and_puts_failures_first(site: Path) -> None:
    index = (site / "index.html").read_text()
    assert re.search(r"<h1>Blocked: \d+ of \d+ checks failed</h1>", index)
    assert index.index(">Drift</a>") < index.index(">Accounting</a>")


def test_a_page_of_data_docs_has_every_check_of_its_concern(site: Path) -> None:
    for concern in {one.concern for one in suite("strict")}:
        page = html.unescape((site / f"{concern}.html").read_text())
        for one in suite("strict"):
            sentence = one.sentence()
            assert (sentence[:1].upper() + sentence[1:] in page) == (one.concern == concern), one.label


def test_data_docs_say_what_failed_and_which_group_shows_it(site: Path) -> None:
    page = (site / "drift.html").read_text()
    assert "✕" in page
    assert "of the rows changed class" in page
    assert "alert(1)" in page
    assert "<script>" not in page
    assert "\x1b" not in page
    assert "$name" in page


def test_checks_without_a_last_version_are_listed_as_not_checked(tmp_path: Path) -> None:
    shares = tables()["shares"].assign(previous=float("nan"))
    write(evaluate(suite("default"), tables(shares=shares)), tmp_path)
    page = (tmp_path / "drift.html").read_text()
    assert "there is no last version to compare with" in page.partition("Not checked")[2]
    assert "All 27 checks" not in (tmp_path / "index.html").read_text()


def result(status: Status, concern: str, sentence: str) -> Result:
    words = {"expectation": "made", "label": "made", "concern": concern, "severity": "block"}
    return Result(**words, status=status, sentence=sentence, reason="2, at most 1", value=2.0)


def test_failures_stand_before_warnings_and_what_passed_is_not_among_them(tmp_path: Path) -> None:
    results = [result("passed", "inputs", "good"), result("warned", "drift", "odd"), result("failed", "balance", "bad")]
    write(results, tmp_path)
    concerns, _, trouble = (tmp_path / "index.html").read_text().partition("What failed or warned")
    assert concerns.index("balance.html") < concerns.index("drift.html") < concerns.index("inputs.html")
    assert trouble.index("Bad") < trouble.index("Odd")
    assert "Good" not in trouble


def test_every_page_says_whose_it_is_and_what_the_whole_suite_came_to(site: Path) -> None:
    for page in site.iterdir():
        words = page.read_text()
        assert re.search(r"<title>notes version 3[:,] ", words)
        assert '<b>notes</b><span>version 3</span><time datetime="2026-03-31">' in words
        assert '<a href="../card.html">card</a>' in words
        assert re.search(r"Blocked: \d+ of \d+ checks failed", words)
