"""Every way to a version draws its card, README, totals, profile and manifest for that version."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey

import evenkeel
from evenkeel.flows import versions as operations
from evenkeel.flows.curate import curate
from evenkeel.flows.recipe import Recipe, parse
from evenkeel.infra.errors import GateFailed
from evenkeel.tasks.measure.churn import sketch
from evenkeel.tasks.measure.profile import Profile
from evenkeel.tasks.publish.trail import user
from evenkeel.tasks.versions.listing import read_manifest, read_version
from evenkeel.tasks.versions.verify import verify

pytestmark = pytest.mark.usefixtures("prefect_server")


def require_true(recipe: Recipe, number: int) -> pd.DataFrame:
    """Hold everything that version `number` says of itself against a recount of its own files; return its rows."""
    version = read_version(recipe.destination, recipe.dataset, number, recipe.workspace)
    manifest, profile, folder = read_manifest(version), Profile.open(version.profile), Path(version.location)
    rows = pd.concat(pd.read_parquet(folder / entry.path) for entry in manifest.data)
    fates = pd.concat(pd.read_parquet(path) for path in sorted((folder / "fates").iterdir()))
    counted = {
        "kept": len(rows),
        "copies": int(rows["ek_copies"].sum()),
        **{fate: int((fates["fate"] == fate).sum()) for fate in ("deduplicated", "not_sampled", "quarantined")},
    }
    totals = profile.totals.iloc[0]
    read = len(rows) + len(fates)
    assert {name: int(totals[name]) for name in counted} == counted
    assert {name: manifest.counts[name] for name in counted} == counted
    assert (manifest.version, manifest.counts["read"], int(totals["read"])) == (number, read, read)
    assert (version.rows, version.copies) == (len(rows), counted["copies"])
    words = [len(text.split()) for text in rows["text"]]
    assert int(totals["tokens_after"]) == np.dot(words, rows["ek_copies"])
    clusters, groups = profile.clusters, profile.groups
    for level in (1, 2):
        held = rows.groupby(f"ek_cluster_{level}")["ek_copies"].sum()
        mine = clusters[clusters["level"] == level].set_index("cluster")
        assert mine["after"].sub(held, fill_value=0).abs().sum() == 0
        assert mine["before"].sum() == counted["kept"] + counted["not_sampled"]
        np.testing.assert_allclose(mine["share_after"].sum(), 1)
    held = rows.groupby("topic")["ek_copies"].sum()
    assert groups.set_index("value")["after"].sub(held, fill_value=0).abs().sum() == 0
    assert np.array_equal(profile.sketch(), sketch(rows["ek_identity"].to_numpy().view(np.uint64), 1 << 20))
    numbers = profile.records("totals")[0].items()
    assert version.metrics == {name: value for name, value in numbers if isinstance(value, float) and value == value}

    readme, card = (folder / "README.md").read_text(), (folder / "card.html").read_text()
    assert f"# {recipe.dataset} v{number}\n" in readme
    assert f"{len(rows):,} rows chosen from {read:,}" in readme
    assert f"Of {read:,} rows read, {len(rows):,} were kept" in readme
    assert set(re.findall(r"/versions/([\w-]+)/data", readme + card)) == {folder.name}
    assert f"version {number}</span>" in card
    for fate in ("kept", "deduplicated", "not_sampled", "quarantined"):
        assert f'<span class="{fate}" style="flex:{counted[fate]}">' in card or not counted[fate]
    assert verify(recipe.destination, recipe.dataset, number, recipe.workspace).sound
    return rows


@pytest.mark.slow
def test_a_forced_version_says_its_own_number_and_place(document: dict[str, Any]) -> None:
    recipe = parse(document, ["sampling.strategy=flat"])
    first = curate(recipe)
    forced = curate(recipe, force=True)
    assert (forced["version"], forced["previous"]) == (2, 1)
    assert forced["location"] != first["location"]
    for number in (1, 2):
        require_true(recipe, number)
    assert Profile.open(f"{forced['location']}/profile").totals["retained"].iloc[0] == 1
    again = curate(recipe)
    assert (again["status"], again["version"], again["totals"]["retained"]) == ("unchanged", 2, 1)


@pytest.mark.slow
def test_a_version_without_a_row_is_counted_and_drawn_anew_without_the_workspace(document: dict[str, Any]) -> None:
    document["dedup"]["near"] = {"threshold": 0.95}
    recipe = parse(document, ["sampling.strategy=flat"])
    curate(recipe)
    rows = require_true(recipe, 1).sort_values("ek_cluster_1")
    gone = [*rows["ek_id"].iloc[[0, 100, -1]], "row-0-7"]
    steps = Path(recipe.workspace) / recipe.dataset
    shutil.rmtree(steps)
    done = operations.takedown(recipe, gone, "asked by its author", republish=True, dry_run=False).result
    assert done.republished is not None
    assert (done.republished.version, done.republished.previous) == (2, 1)
    assert not steps.exists()

    kept = require_true(recipe, 2)
    assert set(kept["ek_id"]) == set(rows["ek_id"]) - set(gone)
    for path in Path(done.republished.location).rglob("*"):
        if path.suffix == ".parquet":
            table = pq.read_table(path)
            texts = [one for column in table.columns for one in column.to_pylist() if isinstance(one, str)]
            assert not set(gone) & set(texts), path
        elif path.is_file():
            words = set(re.findall(rb"row-0-\d+", path.read_bytes()))
            assert not words & {one.encode() for one in gone}, path
    results = json.loads((Path(done.republished.location) / "expectations.json").read_text())
    assert {one["status"] for one in results} <= {"passed", "warned", "skipped"}
    assert {one["expectation"]: one["status"] for one in results}["dispositions_add_up"] == "passed"
    assert {one["expectation"]: one["status"] for one in results}["near_duplicate_rate"] == "passed"

    again = operations.takedown(recipe, [kept["ek_id"].iloc[5]], republish=True, dry_run=False).result
    assert again.republished is not None
    assert len(require_true(recipe, 3)) == len(kept) - 1

    folders = sorted(Path(done.republished.location).parent.iterdir())
    with pytest.raises(GateFailed, match=r"coverage(.|\n)*curate again"):
        operations.takedown(recipe, kept["ek_id"].iloc[20:150], republish=True, dry_run=False)
    assert sorted(Path(done.republished.location).parent.iterdir()) == folders
    assert read_version(recipe.destination, recipe.dataset, "latest", recipe.workspace).version == 3


@pytest.mark.slow
def test_a_run_publishes_beside_a_held_version_and_says_so(document: dict[str, Any]) -> None:
    flat = ["sampling.strategy=flat"]
    first, wrong, other = (parse(document, [*flat, f"sampling.target={rows}"]) for rows in (240, 120, 60))
    curate(first)
    curate(wrong)
    operations.rollback(first, "v1", "v2 is too small")
    again = curate(wrong)
    assert (again["status"], again["version"], again["held"]["version"]) == ("unchanged", 2, 1)
    beside = curate(other)
    assert (beside["status"], beside["version"], beside["previous"]) == ("beside", 3, 1)
    told = f"published notes v3 beside; v1 is held as current by {user()}: v2 is too small"
    assert beside["outcome"] == told
    with get_client(sync_client=True) as client:
        of_key = ArtifactFilter(key=ArtifactFilterKey(any_=["notes-version"]))
        shown = [str(artifact.data) for artifact in client.read_artifacts(artifact_filter=of_key)]
    assert any(told in page for page in shown)
    assert told.partition("; ")[2] in operations.versions(first).sentence
    for number in (1, 2, 3):
        require_true(first, number)
    assert evenkeel.open(f"{first.destination.uri}/notes").version == 1
    assert len(evenkeel.open(f"{first.destination.uri}/notes", 3).to_arrow(["ek_id"])) == 60
