"""The Prefect UI in a real browser: fill the recipe's form, submit, see the run complete, open what it shows."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from evenkeel.flows.recipe import parse
from evenkeel.tasks.versions.listing import list_versions
from tests.flows.conftest import write_shards
from tests.served import Served

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

CHROMIUM = Path("/usr/bin/chromium")
QUIET = ["no-sandbox", "disable-gpu", "disable-background-networking", "disable-component-update", "disable-sync"]
PATIENCE = 240_000

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1200),
    pytest.mark.skipif(not CHROMIUM.exists(), reason=f"there is no browser at {CHROMIUM}: apt install chromium"),
]


@pytest.fixture
def page(served: Served) -> Iterator["Page"]:
    """An empty page of a headless browser; asking any host but the server fails the test."""
    from playwright.sync_api import sync_playwright

    outside: list[str] = []
    own = tuple(f"{scheme}{served.addresses['ui']}" for scheme in ("", "blob:", "data:"))
    with sync_playwright() as playwright:
        arguments = [f"--{argument}" for argument in QUIET]
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        page = browser.new_page(viewport={"width": 1280, "height": 1000}, base_url=served.addresses["ui"])
        page.set_default_timeout(PATIENCE)
        page.on("request", lambda request: outside.append(request.url) if not request.url.startswith(own) else None)
        yield page
        browser.close()
    assert [url for url in outside if not url.startswith(("data:", served.addresses["ui"].replace("http", "ws")))] == []


def field(scope: "Page | Locator", first: str, *path: str) -> "Locator":
    """Return the form's field at `first` and `path`, such as "Source", "Uri"."""
    label = f"span[@class='schema-form-property__label'][.='{first}' or .='{first} (Optional)']"
    header = f"div[contains(@class,'p-label__header')]//{label}"
    found = scope.locator(f"xpath=.//div[contains(@class,'schema-form-property')][{header}]").first
    return field(found, *path) if path else found


def fill(page: "Page | Locator", value: str, *path: str) -> None:
    field(page, *path).locator("textarea, input").first.fill(value)


def submit(page: "Page", dataset: str, folder: Path) -> None:
    """Fill the open form with a recipe over the pool in `folder` and submit it."""
    field(page, "recipe").get_by_text("Recipe", exact=True).click()
    fill(page, dataset, "Dataset")
    fill(page, str(folder / "pool"), "Source", "Uri")
    field(page, "Clustering").get_by_text("change", exact=True).first.click()
    levels = field(page, "Clustering", "Levels")
    levels.get_by_text("list", exact=True).click()
    for number, clusters in enumerate(("40", "8")):
        levels.get_by_role("button", name="Add item").click()
        levels.locator("input[type=number]").nth(number).fill(clusters)
    fill(page, "240", "Sampling", "Target")
    fill(page, str(folder / "published"), "Destination", "Uri")
    fill(page, str(folder / "workspace"), "Workspace")
    fill(page, "inline", "Compute")
    page.get_by_role("button", name="Submit").click()


def test_a_run_from_form_to_card(served: Served, page: "Page", tmp_path: Path) -> None:
    from playwright.sync_api import expect

    expect.set_options(timeout=PATIENCE)
    write_shards(tmp_path / "pool")
    known = {run["id"] for run in served.runs("curate/on-demand")}
    form = f"/deployments/deployment/{served.deployment('curate/on-demand')['id']}/run"
    page.goto(form, wait_until="commit")

    # A file of a recipe is asked for first; the whole recipe is a form: tabs for alternatives, sections that come as
    # they are until they are opened, descriptions, bounds and defaults, no box of JSON.
    recipe = field(page, "recipe")
    expect(field(recipe, "File")).to_be_visible()
    recipe.get_by_text("Recipe", exact=True).click()
    for choice in ("Recipe file", "by name", "default"):
        expect(recipe.get_by_text(choice, exact=True).first).to_be_visible()
    expect(recipe.get_by_text("How many rows to keep, and by which rule.")).to_be_visible()
    assert recipe.locator(".cm-editor, .p-code-input").count() == 0

    submit(page, "Not A Name", tmp_path)
    # Prefect says it of the whole recipe, which is one of two alternatives, and not of the field.
    expect(page.get_by_text("is not valid under any of the given schemas").first).to_be_visible()
    assert {run["id"] for run in served.runs("curate/on-demand")} == known

    page.goto(form, wait_until="commit")
    submit(page, "notes", tmp_path)
    run = served.next_run("curate/on-demand", known)
    state = served.ended(run, 600)
    assert state["type"] == "COMPLETED", state["message"]

    page.goto(f"/runs/flow-run/{run}", wait_until="commit")
    expect(page.get_by_text("Completed", exact=True).first).to_be_visible()
    page.get_by_role("tab", name="Task Runs").or_(page.get_by_text("Task Runs", exact=True)).first.click()
    for step in ("ingest", "embed", "dedup", "cluster", "sample", "stage", "measure", "validate", "report", "publish"):
        expect(page.get_by_text(step, exact=True).first).to_be_visible()
    page.screenshot(path=tmp_path / "run.png")

    page.get_by_text("Artifacts", exact=True).first.click()
    page.get_by_text("notes-card", exact=True).first.click()
    expect(page.get_by_text("1,200").first).to_be_visible()
    page.screenshot(path=tmp_path / "card.png", full_page=True)
    page.go_back(wait_until="commit")
    page.get_by_text("Artifacts", exact=True).first.click()
    page.get_by_text("notes-balance", exact=True).first.click()
    for word in ("level 1", "evenness after"):
        expect(page.get_by_text(word).first).to_be_visible()
    page.screenshot(path=tmp_path / "balance.png", full_page=True)
    assert (tmp_path / "published" / "notes").is_dir()


def test_a_person_approves_a_version(served: Served, page: "Page", tmp_path: Path) -> None:
    from playwright.sync_api import expect

    expect.set_options(timeout=PATIENCE)
    workspace = str(tmp_path / "workspace")
    recipe = {
        "dataset": "notes",
        "source": {"uri": str(write_shards(tmp_path / "pool")), "groups": ["topic"]},
        "dedup": {"near": None},
        "clustering": {"levels": [40, 8]},
        "sampling": {"target": 240},
        "gates": {"approval": "required"},
        "destination": {"uri": str(tmp_path / "published")},
        "workspace": workspace,
        "compute": "inline",
    }
    run = served.start("curate/on-demand", {"recipe": recipe})
    served.until(lambda: served.ask("GET", f"/flow_runs/{run}")["state_name"] == "Suspended", 600)
    assert list_versions(parse(recipe).destination, "notes", workspace) == []

    page.goto(f"/runs/flow-run/{run}", wait_until="commit")
    page.get_by_role("button", name="Resume").first.click()
    modal = page.locator(".p-modal")
    expect(modal.get_by_text("1,200 rows read").first).to_be_visible()
    switch = field(modal, "Publish").get_by_role("switch")
    expect(switch).to_have_attribute("aria-checked", "false")
    switch.click()
    expect(switch).to_have_attribute("aria-checked", "true")
    fill(modal, "looked at the card", "Reason")
    page.screenshot(path=tmp_path / "approval.png")
    modal.get_by_role("button", name="Submit").click()
    state = served.ended(run, 600)
    assert state["type"] == "COMPLETED", state["message"]
    [version] = list_versions(parse(recipe).destination, "notes", workspace)
    assert version.rows == 240


def test_a_failed_run_says_why_where_people_look(served: Served, page: "Page") -> None:
    from playwright.sync_api import expect

    run = served.start("curate/on-demand", {"recipe": {"file": "/no/such/recipe.yaml"}})
    assert served.ended(run)["type"] == "FAILED"
    page.goto(f"/runs/flow-run/{run}", wait_until="commit")
    expect(page.get_by_text("there is no recipe at /no/such/recipe.yaml").first).to_be_visible(timeout=PATIENCE)
