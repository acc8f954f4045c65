"""The card says what was measured, loads nothing, runs nothing, and shows foreign text as text."""

import re
import time
from html.parser import HTMLParser
from pathlib import Path

import pytest
import yaml

from evenkeel.infra.workspace import StepFolder
from evenkeel.tasks.report.config import ReportConfig
from evenkeel.tasks.report.inputs import ReportInputs
from evenkeel.tasks.report.run_mark import with_run
from evenkeel.tasks.report.step import report
from evenkeel.tasks.validate.config import GatesConfig
from evenkeel.tasks.validate.inputs import ValidateInputs
from evenkeel.tasks.validate.step import VALIDATE
from tests.report.cards import Card
from tests.validate.pools import Curated

VOID = {"meta", "link", "br", "img", "path", "rect", "line", "circle", "use"}


class Outline(HTMLParser):
    """Collects tags, ids, links and whether everything opened is closed."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.mismatched: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID and (not self.open or self.open.pop() != tag):
            self.mismatched.append(tag)


@pytest.fixture(params=["first", "blocked"])
def card(request: pytest.FixtureRequest, curated: Curated) -> Card:
    found: Card = request.getfixturevalue(request.param)
    return found


@pytest.mark.long
def test_the_page_loads_and_runs_nothing(card: Card) -> None:
    outline = Outline(card.html)
    assert len(card.html.encode()) < 2_000_000
    for tag, attributes in outline.tags:
        assert tag not in ("script", "iframe", "object", "embed", "link", "base", "form", "foreignobject"), tag
        for name, value in attributes.items():
            assert not name.startswith("on"), (tag, name)
            if name in ("src", "href", "xlink:href"):
                assert (value or "").startswith(("#", "data:image/", "docs/index.html", "../../")), value
    assert "url(" not in card.html
    assert "@import" not in card.html


def test_foreign_text_is_shown_as_text(card: Card) -> None:
    for written in (card.html, card.summary, card.readme):
        assert "<script" not in written
        assert "<img src=x" not in written
        assert "\x1b" not in written
    assert "&lt;script&gt;" in card.html


def test_markdown_cannot_be_injected(blocked: Card) -> None:
    assert "](javascript:1)" not in blocked.summary
    assert "](javascript:1)" not in blocked.readme


def test_the_page_is_well_formed_and_its_links_lead_somewhere(card: Card) -> None:
    outline = Outline(card.html)
    assert outline.mismatched == []
    assert outline.open == []
    ids = [attributes["id"] for _, attributes in outline.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    links = [str(attributes["href"]) for tag, attributes in outline.tags if tag == "a"]
    assert [link for link in links if link.startswith("#") and link[1:] not in ids] == []


def test_pictures_and_tables_speak_to_screen_readers(card: Card) -> None:
    outline = Outline(card.html)
    pictures = [attributes for tag, attributes in outline.tags if tag == "svg"]
    assert len(pictures) >= 6
    assert all(attributes.get("role") == "img" and attributes.get("aria-label") for attributes in pictures)
    assert all(attributes.get("alt") for tag, attributes in outline.tags if tag == "img")
    assert all(attributes.get("scope") for tag, attributes in outline.tags if tag == "th")
    assert [tag for tag, _ in outline.tags].count("h1") == 1
    assert outline.tags[0] == ("html", {"lang": "en"})


def test_titles_say_the_finding(first: Card) -> None:
    assert re.search(r"<h1>The largest cluster fell from [\d.]+\xa0% to [\d.]+\xa0% of the rows</h1>", first.html)
    assert "held half of the pool" in first.html
    assert "values are in the version" in first.html
    assert first.ref.facts["headline"] in first.html


def test_a_first_version_shows_no_drift_and_no_history(first: Card) -> None:
    assert 'id="drift"' not in first.html
    assert "since v1" not in first.html


def test_a_later_version_shows_drift_and_history(blocked: Card) -> None:
    assert "of the last version&#39;s rows are in this one too" in blocked.html
    assert "of the rows changed language since the last version" in blocked.html
    assert "since v1" in blocked.html
    assert "An hour of the machines costs 3.6" in blocked.html


def test_a_blocked_version_says_so_first_with_the_offenders(blocked: Card) -> None:
    assert re.search(
        r'class="verdict failed" href="#gates"><span aria-hidden="true">✕</span> Blocked: \d of \d+ checks failed',
        blocked.html,
    )
    gates = blocked.html.partition('id="gates"')[2]
    assert gates.index(">failed</span>") < gates.index(">passed</span>")
    assert 'class="offenders"' in gates
    assert "✕ **" in blocked.summary


def test_secrets_never_reach_the_card(card: Card) -> None:
    for written in (card.html, card.summary, card.readme):
        assert "AKIAABCDEFGHIJKLMNOP" not in written
        assert "jane.doe" not in written


def test_pictures_of_rows_are_shown(first: Card) -> None:
    examples = first.html.partition('id="examples"')[2].partition("</section>")[0]
    assert 'src="data:image/webp;base64,' in examples


def test_counterexamples_have_texts_and_pictures(blocked: Card) -> None:
    offenders = blocked.html.partition('class="offenders"')[2].partition("</table>")[0]
    assert 'src="data:image/webp;base64,' in offenders
    assert "of topic" in offenders


def test_the_readme_has_a_header_that_hubs_understand(first: Card) -> None:
    _, header, body = first.readme.split("---\n", 2)
    document = yaml.safe_load(header)
    assert document["size_categories"] == ["n<1K"]
    assert document["configs"][0]["data_files"][0]["path"].startswith("data/")
    assert document["license"] == ["cc-by-4.0", "cc0-1.0"]
    assert "pd.read_parquet" in body


def test_a_copy_is_told_from_the_place_of_publication(first: Card) -> None:
    assert "It was published at s3://curated/topics/versions/a" in first.readme
    assert re.search(r"published at <code[^>]*>s3://curated/topics/versions/a</code>; a copy is read", first.html)


def test_hubs_read_the_header(first: Card) -> None:
    hub = pytest.importorskip("huggingface_hub")
    assert hub.DatasetCard(first.readme).data.to_dict()["license"] == ["cc-by-4.0", "cc0-1.0"]


@pytest.mark.long
def test_the_same_inputs_give_the_same_card(first: Card, curated: Curated) -> None:
    gates = GatesConfig.model_validate({"change": {"pattern_rate": {"severity": "warn"}}})
    inputs = {**curated.done, "validate": VALIDATE(gates, ValidateInputs.of(curated.done), curated.run)}
    again = StepFolder(curated.run.workspace, "topics", "report", "again")
    config = ReportConfig(dataset="topics", version=1, location="s3://curated/topics/versions/a")
    outcome = report(config, ReportInputs.of(inputs), again, curated.run)
    assert Card(again.finish(outcome.counts, outcome.facts, 0), inputs["validate"]).html == first.html


def test_the_data_docs_are_where_the_card_says(first: Card, blocked: Card) -> None:
    for card in (first, blocked):
        assert 'href="docs/index.html"' in card.html
        index = (Path(card.ref.uri) / "docs" / "index.html").read_text()
        assert 'href="../card.html"' in index
        assert "<b>topics</b>" in index
        verdict = re.search(r"(?:Blocked: |Nothing blocks this version; |All )[^<]*", index)
        assert verdict is not None
        assert verdict.group() in card.html
        skipped = re.search(r"<summary>(\d+) not checked</summary>", card.html)
        assert (skipped.group(1) if skipped else "") == "".join(re.findall(r"(\d+) more did not apply", index))
    assert "<span>version 1</span>" in (Path(first.ref.uri) / "docs" / "balance.html").read_text()
    assert "<span>not published</span>" in (Path(blocked.ref.uri) / "docs" / "balance.html").read_text()


def test_a_blocked_card_is_headed_by_what_failed_and_is_no_version(blocked: Card) -> None:
    assert re.search(r"<h1>Blocked: [^<]*smallest share of language[^<]*</h1>", blocked.html)
    assert "Nothing was published. Expected: " in blocked.html
    for written in (blocked.html, blocked.summary, blocked.readme):
        assert not re.search(r"version 5|\bv5\b|in this version|are in the version|of the version, from its", written)
    assert "How to read it" not in blocked.html
    assert "How to read it" not in blocked.readme


def test_the_card_names_the_last_version_the_run_and_the_commit(blocked: Card) -> None:
    assert 'href="../../versions/run-4/card.html">card of v4</a>' in blocked.html
    run, commit = ("calm <fox>", "https://prefect.example.org/runs/1"), ("abc1234", "javascript:alert(1)")
    page = with_run(blocked.html.encode(), run, commit).decode()
    assert '<a href="https://prefect.example.org/runs/1" rel="noreferrer">calm &lt;fox&gt;</a>' in page
    assert "<span>code abc1234</span>" in page
    assert with_run(blocked.html.encode(), None, None).decode() == blocked.html.replace("<!-- run -->", "")


def test_balance_that_the_clusters_had_no_part_in_leads_the_balance(first: Card) -> None:
    held_out = first.ref.facts["held_out"]
    assert held_out.keys() == {"before", "random", "flat", "top-down", "after"}
    assert held_out["before"] == pytest.approx(held_out["random"], abs=0.02)
    assert held_out["after"] > held_out["before"]
    assert f"{held_out['before']:.2f} to {held_out['after']:.2f} over stable partitions" in first.html
    assert f"| held out | {held_out['before']:.3f} |" in first.summary


def test_an_exact_duplicate_is_shown_beside_its_id_not_behind_it(first: Card) -> None:
    assert not re.search(r"<td[^>]*>row-0-\d+: ", first.html)


@pytest.mark.slow
def test_a_card_is_cheap(curated: Curated, tmp_path: Path) -> None:
    inputs = {**curated.done, "validate": VALIDATE(GatesConfig(), ValidateInputs.of(curated.done), curated.run)}
    spent = time.process_time()
    again = StepFolder(str(tmp_path), "topics", "report", "a")
    report(ReportConfig(dataset="topics"), ReportInputs.of(inputs), again, curated.run)
    assert time.process_time() - spent < 10
