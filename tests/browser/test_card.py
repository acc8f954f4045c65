"""The card and the Data Docs in a real browser: nothing from outside, nothing wider than the screen, nothing runs."""

from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pyarrow as pa
import pytest

from evenkeel.infra.tables import read_table
from evenkeel.tasks.publish.catalog_page import render
from tests.examples import telling
from tests.publish.test_catalog_page import version
from tests.report.cards import Card
from tests.validate.pools import HOSTILE

if TYPE_CHECKING:
    from playwright.sync_api import Browser

CHROMIUM = Path("/usr/bin/chromium")
QUIET = ["no-sandbox", "disable-gpu", "disable-background-networking", "disable-component-update", "disable-sync"]
# Each width and each scheme once; the other two ways to join them are slow.
OTHERS = [pytest.param(1280, "dark", marks=pytest.mark.slow), pytest.param(390, "light", marks=pytest.mark.slow)]
BOTH: list[tuple[int, Literal["light", "dark"]]] = [(1280, "light"), (390, "dark")]
SCREENS = [*BOTH, *OTHERS]

pytestmark = [pytest.mark.long, pytest.mark.skipif(not CHROMIUM.exists(), reason=f"there is no browser at {CHROMIUM}")]

# The contrast of every piece of text with the nearest background behind it, by the WCAG 2 formula.
CONTRAST = """() => {
  const light = rgb => rgb.map(v => v / 255).map(v => v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [.2126, .7152, .0722][i], 0);
  const numbers = colour => (colour.match(/[\\d.]+/g) || []).map(Number)
    .map((v, i) => colour.startsWith('color(srgb') && i < 3 ? 255 * v : v);  // what color-mix() is computed to
  const behind = node => { for (; node; node = node.parentElement) {
    const c = numbers(getComputedStyle(node).backgroundColor); if (c.length === 3 || c[3] > 0) return c.slice(0, 3); }
    return [255, 255, 255]; };
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) { const node = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || node.closest('svg') || !node.getClientRects().length) continue;
    const style = getComputedStyle(node), large = parseFloat(style.fontSize) >= 24;
    const [a, b] = [light(numbers(style.color).slice(0, 3)), light(behind(node))];
    const ratio = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
    if (ratio < (large ? 3 : 4.5)) found.push([walker.currentNode.data.trim().slice(0, 40), +ratio.toFixed(2)]); }
  return found; }"""


@pytest.fixture(scope="module")
def pages(first: Card, blocked: Card) -> dict[str, Path]:
    """Every page of a version that passed and of one that was blocked."""
    checks = sorted(Path(first.ref.uri).glob("docs/*.html"))
    return {
        "first": Path(first.ref.uri) / "card.html",
        "blocked": Path(blocked.ref.uri) / "card.html",
        "index": next(page for page in checks if page.name == "index.html"),
        "balance": next(page for page in checks if page.name == "balance.html"),
    }


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=[f"--{argument}" for argument in QUIET])
        yield browser
        browser.close()


@pytest.mark.parametrize("name", ["first", "blocked", "index", "balance"])
@pytest.mark.parametrize(("width", "scheme"), SCREENS)
def test_a_page_fits_the_screen_reads_well_and_asks_for_nothing(
    browser: "Browser", pages: dict[str, Path], name: str, width: int, scheme: Any
) -> None:
    asked: list[str] = []
    said: list[str] = []
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page = context.new_page()
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto(pages[name].as_uri())
    assert [url for url in asked if not url.startswith("data:image/")] == [pages[name].as_uri()]
    assert said == []
    assert page.title() != "owned"
    wide = page.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
    assert wide[0] <= wide[1], f"{wide[0]} px of content on a screen of {wide[1]} px"
    assert page.evaluate(CONTRAST) == []
    context.close()


@pytest.mark.parametrize("scheme", telling(["light", "dark"], "dark"))
def test_pictures_follow_the_colours_of_the_page(browser: "Browser", pages: dict[str, Path], scheme: Any) -> None:
    context = browser.new_context(color_scheme=scheme)
    page = context.new_page()
    page.goto(pages["first"].as_uri())
    ink = page.evaluate("getComputedStyle(document.body).color")
    label = page.locator("svg text[fill='#1d2126']").first
    assert label.evaluate("node => getComputedStyle(node).fill") == ink
    line = page.locator(".wide svg [stroke='#0b6e75']").first.evaluate("node => getComputedStyle(node).stroke")
    assert line == page.locator(".dot.after").first.evaluate("node => getComputedStyle(node).backgroundColor")
    context.close()


def test_the_keyboard_reaches_the_content_the_tables_and_the_verdict(
    browser: "Browser", pages: dict[str, Path]
) -> None:
    page = browser.new_page()
    page.goto(pages["blocked"].as_uri())
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    for _ in range(page.locator("header a").count()):  # links to other cards stand before the verdict
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert page.url.endswith("#gates")
    first = page.locator("details").first
    first.locator("summary").focus()
    page.keyboard.press("Enter")
    assert first.evaluate("node => node.open")
    page.close()


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_axe_finds_nothing_serious_on_card_data_docs_and_catalog(
    browser: "Browser", pages: dict[str, Path], first: Card, tmp_path: Path
) -> None:
    script = files(pytest.importorskip("axe_playwright_python")) / "axe.min.js"
    clusters = read_table(str(Path(first.ref.uri) / "clusters.parquet"))
    catalog = tmp_path / "index.html"
    catalog.write_text(render("/out/notes", "notes", [version(2, 0.9, "latest"), version(1, 0.5)], clusters))
    found = []
    for width, scheme in BOTH:
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        page = context.new_page()
        for place in (*pages.values(), catalog):
            page.goto(place.as_uri())
            page.evaluate(script.read_text())
            result = page.evaluate("axe.run()")
            assert len(result["passes"]) > 20
            found += [(place.name, scheme, one["id"], one["nodes"][0]["html"]) for one in result["violations"]]
        context.close()
    assert found == []


def test_foreign_text_is_on_the_page_as_text(browser: "Browser", pages: dict[str, Path]) -> None:
    page = browser.new_page()
    page.goto(pages["blocked"].as_uri())
    assert page.locator("script").count() == 0
    assert HOSTILE.split("\x1b")[0] in page.locator("body").inner_text()
    page.close()


def test_a_wide_and_a_narrow_drawing_are_never_both_shown(browser: "Browser", pages: dict[str, Path]) -> None:
    for width, shown, hidden in ((1280, ".wide", ".narrow"), (390, ".narrow", ".wide")):
        page = browser.new_page(viewport={"width": width, "height": 900})
        page.goto(pages["first"].as_uri())
        assert page.locator(shown).first.is_visible()
        assert not page.locator(hidden).first.is_visible()
        page.close()


def test_the_catalog_shows_the_first_clusters_of_what_is_searched_for_and_the_rest_when_asked(
    browser: "Browser", tmp_path: Path
) -> None:
    page = browser.new_page()
    names = [f"{'rare' if number % 50 == 7 else 'common'} {number}" for number in range(300)]
    clusters = pa.table({"level": [1] * 300, "name": names, "kept": [1] * 300})
    place = tmp_path / "index.html"
    place.write_text(render("/out/notes", "notes", [version(1, 0.5, "latest")], clusters))
    page.goto(place.as_uri())
    shown = page.locator("#clusters tbody tr:not([hidden])")
    assert shown.count() == 25
    page.fill("#search", "rare")
    assert shown.count() == 6
    assert page.locator("#found").inner_text() == "6 of 300 clusters"
    page.fill("#search", "")
    page.get_by_role("button", name="Show all 300").click()
    assert shown.count() == 300
    page.close()
