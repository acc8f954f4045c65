"""On a real object store: a version republished without a row says only what is true of it, where it lies."""

import secrets
import shutil
from pathlib import Path

import pandas as pd
import pytest

from evenkeel.flows import versions as operations
from evenkeel.flows.curate import curate
from evenkeel.flows.recipe import parse
from evenkeel.infra import storage
from evenkeel.tasks.measure.profile import Profile
from evenkeel.tasks.versions.listing import read_manifest, read_version
from evenkeel.tasks.versions.verify import verify
from tests.flows.conftest import write_shards
from tests.s3.servers import BUCKET, Store

pytestmark = [pytest.mark.server, pytest.mark.slow, pytest.mark.usefixtures("prefect_server")]


def test_a_version_without_a_row_is_drawn_anew_on_a_store(
    seaweed_store: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    seaweed_store.use(monkeypatch)
    recipe = parse(
        {
            "dataset": "notes",
            "source": {"uri": str(write_shards(tmp_path / "pool")), "groups": ["topic"]},
            "clustering": {"levels": [40, 8], "iterations": 5},
            "sampling": {"target": 240, "strategy": "flat"},
            "destination": {"uri": f"s3://{BUCKET}/{secrets.token_hex(6)}"},
            "workspace": str(tmp_path / "workspace"),
            "compute": "inline",
        }
    )
    curate(recipe)
    first = read_version(recipe.destination, "notes", 1, recipe.workspace)
    rows = pd.read_parquet(first.data)
    gone = str(rows["ek_id"].iloc[7])
    shutil.rmtree(recipe.workspace)
    done = operations.takedown(recipe, [gone], "asked by its author", republish=True, dry_run=False).result
    assert done.republished is not None
    assert (done.republished.version, done.republished.rows) == (2, len(rows) - 1)

    second = read_version(recipe.destination, "notes", "latest", recipe.workspace)
    assert (second.version, second.parent, second.location) == (2, 1, done.republished.location)
    assert set(pd.read_parquet(second.data)["ek_id"]) == set(rows["ek_id"]) - {gone}
    assert read_manifest(second).counts["kept"] == Profile.open(second.profile).totals["kept"].iloc[0] == len(rows) - 1
    for name in ("card.html", "README.md"):
        text = storage.read_bytes(storage.join(second.location, name)).decode()
        assert second.data in text
        assert first.location not in text
        assert gone not in text.split()
    assert all(verify(recipe.destination, "notes", number, recipe.workspace).sound for number in (1, 2))
    card = tmp_path / "card.html"
    card.write_bytes(storage.read_bytes(storage.join(second.location, "card.html")))
    assert "<h1" in card.read_text()
