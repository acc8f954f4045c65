"""The page of a mixture in a real browser: it fits the screen, reads well and asks for nothing."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from evenkeel.tasks.feedback.loop import Reports
from evenkeel.tasks.feedback.rounds import Planned, Round, Rounds
from evenkeel.tasks.feedback.score import Score
from evenkeel.tasks.feedback.table import Reported
from evenkeel.tasks.mixture.config import MixtureConfig
from evenkeel.tasks.mixture.rules.regress import Regress
from evenkeel.tasks.report.mixture import render_mixture
from tests.browser.test_card import CHROMIUM, CONTRAST, QUIET, SCREENS
from tests.validate.pools import HOSTILE

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = [pytest.mark.long, pytest.mark.skipif(not CHROMIUM.exists(), reason=f"there is no browser at {CHROMIUM}")]
NAMES = [f"a domain with a long name {number}" for number in range(29)] + [HOSTILE]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page after two rounds of thirty domains, one of whose names is markup."""
    rng = np.random.default_rng(0)
    rounds, reports = [], dict[str, list[Reported]]()
    roles = ["natural", "uniform", "stratified", "tried"], ["stratified", "proposed", "tried", "tried"]
    for number in range(2):
        trials = []
        for place, role in enumerate(roles[number]):
            weights = dict(zip(NAMES, rng.dirichlet(np.ones(30)).tolist(), strict=True))
            name, predicted = f"trial-{number}-{place}", 0.5 + place / 50 if number else None
            trials.append(Planned(name=name, role=role, weights=weights, predicted=predicted))
            score = Score(metric="balanced_accuracy", value=0.5 + place / 40, error=0.01)
            reports[name] = [Reported("2026-01-01T00:00:00", "ann", "ann", 1 + place, name, score)]
        rounds.append(
            Round(
                round=number,
                loop=0,
                domains="group.topic",
                names=NAMES,
                sizes=list(range(100, 130)),
                uniform=[1 / 30] * 30,
                budget=100,
                rule={"name": "regress"},
                goal="maximise",
                clusters="",
                trials=trials,
            )
        )
    config = MixtureConfig(domains="group.topic", rule=Regress())
    file = tmp_path_factory.mktemp("mixture") / "index.html"
    told = Reports("balanced_accuracy", reports)
    file.write_text(render_mixture("notes", config, Rounds(rounds=rounds), rounds, told))
    return file


@pytest.fixture(scope="module")
def browser(page: Path) -> Iterator["Browser"]:
    """A browser, started once the page is drawn: V8 is not started beside it."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=[f"--{argument}" for argument in QUIET])
        yield browser
        browser.close()


@pytest.mark.parametrize(("width", "scheme"), SCREENS)
def test_the_page_fits_reads_well_and_asks_for_nothing(page: Path, browser: "Browser", width: int, scheme: Any) -> None:
    asked, said = list[str](), list[str]()
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    shown = context.new_page()
    shown.on("request", lambda request: asked.append(request.url))
    shown.on("console", lambda message: said.append(message.text))
    shown.goto(page.as_uri())
    assert (asked, said) == ([page.as_uri()], [])
    wide = shown.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
    assert wide[0] <= wide[1]
    assert shown.evaluate(CONTRAST) == []
    for heading in ("Weights by round", "Scores", "Predicted against seen"):
        assert shown.get_by_role("heading", name=heading).is_visible()
    assert shown.title() != "owned"
    context.close()
