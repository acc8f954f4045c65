"""The card and the Data Docs on a real object store, looked at in a real browser that is served from there."""

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from evenkeel.infra import storage
from evenkeel.tasks.publish.config import DestinationConfig
from evenkeel.tasks.publish.publish import publish
from evenkeel.tasks.publish.staging.inputs import StageInputs
from evenkeel.tasks.publish.staging.step import STAGE
from evenkeel.tasks.report.config import ReportConfig
from tests.browser.test_card import CHROMIUM, browser  # noqa: F401
from tests.report.cards import RELAXED, card_of
from tests.s3.servers import BUCKET, Store, seaweed
from tests.validate.pools import curate, write_shards

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = [
    pytest.mark.server,
    pytest.mark.skipif(not CHROMIUM.exists(), reason=f"there is no browser at {CHROMIUM}"),
]


@pytest.fixture(scope="module")
def public_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """A store that shows its objects to whoever asks."""
    with seaweed(tmp_path_factory.mktemp("public"), public=True) as store:
        yield store


def test_a_store_is_told_what_a_page_is(store: Store) -> None:
    folder = f"s3://{BUCKET}/{uuid.uuid4().hex}"
    for name, kind in (("card.html", "text/html; charset=utf-8"), ("results.json", "application/json")):
        storage.write_bytes(f"{folder}/{name}", b"x")
        with storage.open_write(f"{folder}/streamed/{name}") as stream:
            stream.write(b"x")
        storage.share(f"{folder}/{name}", f"{folder}/shared/{name}")
        for place in ("", "streamed/", "shared/"):
            fs, path = storage.filesystem(f"{folder}/{place}{name}")
            head = fs.call_s3("head_object", Bucket=BUCKET, Key=path.removeprefix(f"{BUCKET}/"))
            assert head["ContentType"] == kind, place


@pytest.mark.slow
def test_card_and_data_docs_are_served_from_the_store(
    public_store: Store,
    browser: "Browser",  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    public_store.use(monkeypatch)
    curated = curate(tmp_path, write_shards(tmp_path / "shards", rows=300), target=90, levels=(12, 4))
    destination = DestinationConfig(uri=f"s3://{BUCKET}/{uuid.uuid4().hex}")
    staged = STAGE(destination.staging(), StageInputs.of(curated.done), curated.run)
    card = card_of(curated, RELAXED, ReportConfig(dataset="topics", version=1), stage=staged)
    extras = {
        "card.html": storage.join(card.ref.uri, "card.html"),
        "README.md": storage.join(card.ref.uri, "README.md"),
    }
    extras["docs"] = storage.join(card.checks.uri, "docs")
    found = publish(destination, "topics", staged, extras, {}, curated.run.workspace)

    asked: list[str] = []
    page = browser.new_page()
    page.on("request", lambda request: asked.append(request.url))
    address = storage.web_address(storage.join(found.location, "card.html"))
    answer = page.goto(address)
    assert answer is not None
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert page.locator("h1").inner_text() == card.ref.facts["headline"]
    assert f'pd.read_parquet("{found.data}")' in page.locator("#read").inner_text()
    page.get_by_role("link", name="Data Docs").click()
    page.wait_for_url("**/docs/index.html")
    page.get_by_role("link", name="Balance", exact=True).first.click()
    page.wait_for_url("**/docs/balance.html")
    assert page.locator(".passed").count() > 3
    page.get_by_role("link", name="All checks").click()
    page.wait_for_url("**/docs/index.html")
    base = address.removesuffix("card.html")
    loaded = [url.removeprefix(base) for url in asked if not url.startswith("data:image/")]
    loaded = [path for path in loaded if not path.endswith("/favicon.ico")]
    assert loaded == ["card.html", "docs/index.html", "docs/balance.html", "docs/index.html"]
    page.close()
