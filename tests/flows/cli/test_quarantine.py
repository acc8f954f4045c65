"""`evenkeel quarantine` lists what was refused after a run that failed, after one that went through, and later."""

import html
import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey

from evenkeel.flows.recipe import load
from evenkeel.infra import storage
from evenkeel.infra.errors import QuarantineLimitError
from evenkeel.tasks.ingest.source import ingest_request
from evenkeel.tasks.ingest.step import INGEST
from evenkeel.tasks.inputs import NoInputs
from evenkeel.tasks.publish.layout import dataset_folder
from evenkeel.tasks.step import Run
from tests.flows.cli.calls import invoke


@pytest.fixture
def spoilt(document: dict[str, Any], recipe_file: Path) -> Path:
    """A recipe over 1,200 rows of which 18 have no id and one an id twice, and one shard that is no Parquet file.

    More than the 1 % that the gate on refused rows allows where a recipe says nothing.
    """
    pool = Path(document["source"]["uri"])
    first = pq.read_table(pool / "shard-0.parquet")
    ids = first["id"].to_pylist()
    ids[3], ids[5], ids[9] = "", None, ids[8]
    ids[20:36] = [None] * 16
    pq.write_table(first.set_column(0, "id", pa.array(ids)), pool / "shard-0.parquet")
    (pool / "shard-9.parquet").write_bytes(b"PAR1 cut short")
    document["source"]["id"] = "id"
    recipe_file.write_text(json.dumps(document))
    return recipe_file


def allow(recipe: Path, share: float) -> None:
    document = json.loads(recipe.read_text())
    document["source"]["max_quarantined"] = share
    recipe.write_text(json.dumps(document))


def read(recipe: Path) -> None:
    """Run the ingest step of a recipe."""
    found = load(str(recipe))
    run = Run(found.workspace, found.dataset, recipe.parent / "scratch")
    INGEST(ingest_request(found.source), NoInputs(), run)


def listed(recipe: str | Path, *arguments: str) -> dict[str, Any]:
    code, output = invoke("quarantine", recipe, *arguments, "--json")
    assert code == 0, output
    return dict(json.loads(output))


def in_the_ui() -> list[dict[str, Any]]:
    """Return the table of what was refused that the page of the last run shows."""
    with get_client(sync_client=True) as client:
        of_key = ArtifactFilter(key=ArtifactFilterKey(any_=["notes-quarantine"]))
        newest = max(client.read_artifacts(artifact_filter=of_key), key=lambda one: str(one.created))
    return list(json.loads(str(newest.data)))


def check(found: dict[str, Any]) -> None:
    assert {one["reason"]: one["rows"] for one in found["rows"]} == {"null id": 18, "duplicate id": 1}
    samples = {one["reason"]: [row["row"] for row in one["samples"]] for one in found["rows"]}
    assert samples == {"null id": [3, 5, 20], "duplicate id": [9]}
    assert all(row["uri"].endswith("shard-0.parquet") for one in found["rows"] for row in one["samples"])
    assert [(Path(one["uri"]).name, one["reason"][:16]) for one in found["shards"]] == [
        ("shard-9.parquet", "unreadable shard")
    ]


def test_a_failed_run_and_the_one_after_it_are_listed(spoilt: Path) -> None:
    allow(spoilt, 0.0)
    with pytest.raises(QuarantineLimitError, match="evenkeel quarantine RECIPE"):
        read(spoilt)
    found = listed(spoilt)  # duplicate ids are looked for only where the rest is within the limit
    assert [(one["reason"], one["rows"]) for one in found["rows"]] == [("null id", 18)]
    assert found["refused_shards"] == 1
    allow(spoilt, 0.5)
    read(spoilt)
    check(listed(spoilt))
    code, output = invoke("quarantine", spoilt, "--samples", "1")
    assert code == 0
    assert "refused 1 shard and 19 rows" in output
    assert "shard-9.parquet: unreadable shard" in output
    assert "18 rows: null id\n  row 3 of " in output
    assert "row 5 of " not in output


@pytest.mark.slow
@pytest.mark.usefixtures("prefect_server")
def test_a_version_lists_them_without_its_workspace(spoilt: Path, document: dict[str, Any]) -> None:
    allow(spoilt, 0.0)
    assert invoke("run", spoilt)[0] == 1
    assert [one["reason"] for one in in_the_ui() if one["what"] == "row"] == ["null id"] * 3
    allow(spoilt, 0.5)
    code, output = invoke("run", spoilt)
    assert code == 0, output
    check(listed(spoilt, "--version", "v1"))
    (page,) = (Path(document["destination"]["uri"]) / "notes" / "versions").glob("*/card.html")
    card = html.unescape(page.read_text())
    records = in_the_ui()
    assert len(records) == 5
    for one in records:
        assert one["reason"][:60] in card
        assert one["where"] in card
    shutil.rmtree(document["workspace"])
    check(listed(spoilt))
    folder = dataset_folder(document["destination"]["uri"], "notes")
    check(listed(folder))
    assert not storage.exists(document["workspace"])
