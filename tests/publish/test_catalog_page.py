"""The catalog page of a dataset: what it says, and that foreign text stays text."""

import pyarrow as pa

from evenkeel.tasks.publish.catalog_page import render, sparkline
from evenkeel.tasks.publish.table import Version
from tests.validate.pools import HOSTILE


def version(number: int, evenness: float, *tags: str) -> Version:
    return Version(
        dataset="notes",
        version=number,
        tags=list(tags),
        current="latest" in tags,
        data=f"/out/notes/versions/r{number}/data",
        snapshot_id=number,
        created="2026-01-02T03:04:05+00:00",
        created_by="ann",
        rows=1234,
        copies=1234,
        files=1,
        bytes=1,
        location=f"/out/notes/versions/r{number}",
        manifest_sha256="",
        content_key="",
        recipe_hash="",
        parent=None,
        metrics={"entropy_after": evenness},
        reason="",
    )


def test_versions_tags_links_and_clusters_are_on_the_page_and_foreign_text_is_text() -> None:
    clusters = pa.table(
        {"level": [1], "name": [HOSTILE], "words": [["a"]], "pool": [9], "kept": [3], "representatives": [["row-7"]]}
    )
    page = render("/out/notes", "notes", [version(2, 0.9, "latest"), version(1, 0.5)], clusters)
    assert "v2 is current, 1,234 rows; 2 versions" in page
    assert '<a href="versions/r2/card.html">Card of v2</a>' in page
    assert '<a href="versions/r1/docs/index.html">Data Docs of v1</a>' in page
    assert "row-7" in page
    assert page.count("<script>") == 1
    assert HOSTILE not in page


def test_the_line_of_balance_needs_two_versions_and_goes_from_old_to_new() -> None:
    assert sparkline([0.5]) == {}
    line = sparkline([0.5, 0.9])
    assert line["about"] == "Evenness over 2 versions: 0.500 at first, 0.900 now"
    assert line["points"] == "4.0,24.0 156.0,4.0"


def test_a_dataset_without_versions_has_a_page_too() -> None:
    assert "no version yet; 0 versions" in render("/out/notes", "notes", [], None)


def test_coarse_clusters_and_those_of_most_kept_rows_come_first() -> None:
    names = ["few", "many", "coarse"]
    clusters = pa.table({"level": [1, 1, 2], "name": names, "kept": [1, 8, 9]})
    page = render("/out/notes", "notes", [version(1, 0.5, "latest")], clusters)
    assert sorted(names, key=lambda name: page.index(f"<td>{name}</td>")) == ["coarse", "many", "few"]
