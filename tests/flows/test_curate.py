"""The whole way, from shards to a version that pandas reads, and what happens when it is walked again."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from evenkeel.expectations.concerns.accounting import DISPOSITIONS
from evenkeel.flows.curate import curate
from evenkeel.flows.recipe import parse
from evenkeel.infra.errors import EvenkeelError, GateFailed, RecipeError
from evenkeel.tasks.versions.listing import list_versions
from tests.flows.conftest import document_in, write_shards

pytestmark = pytest.mark.usefixtures("prefect_server")


def states(flow_run_id: str | None = None) -> dict[str, str]:
    """Return the state name of every task of the newest flow run."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import FlowRunFilter
    from prefect.client.schemas.sorting import FlowRunSort

    with get_client(sync_client=True) as client:
        newest = client.read_flow_runs(sort=FlowRunSort.START_TIME_DESC, limit=1)[0]
        tasks = client.read_task_runs(flow_run_filter=FlowRunFilter(id={"any_": [newest.id]}))
    return {task.name: task.state_name or "" for task in tasks}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, prefect_server: None) -> tuple[dict[str, Any], dict[str, Any]]:
    """A recipe that was run, and what came out."""
    document = document_in(tmp_path_factory.mktemp("finished"))
    return document, curate(parse(document))


def test_first_run_publishes_and_an_identical_one_is_cached_and_unchanged(
    finished: tuple[dict[str, Any], dict[str, Any]],
) -> None:
    document, first = finished
    assert (first["status"], first["version"]) == ("published", 1)
    totals = first["totals"]
    assert totals["read"] == 1200
    assert totals["kept"] == 240
    assert totals["read"] == sum(totals[fate] for fate in DISPOSITIONS)
    frame = pd.read_parquet(first["data"])
    assert len(frame) == 240
    assert {"id", "topic", "text", "ek_row_id", "ek_cluster_1", "ek_cluster_2", "ek_copies", "ek_weight"} <= set(frame)
    before = pd.concat(pd.read_parquet(path) for path in Path(document["source"]["uri"]).glob("*.parquet"))
    assert frame["topic"].value_counts(normalize=True).max() < before["topic"].value_counts(normalize=True).max()
    assert Path(first["card"]).read_text().startswith("<!DOCTYPE html>")

    second = curate(parse(document))
    assert (second["status"], second["version"]) == ("unchanged", 1)
    cached = states()
    assert {name for name, state in cached.items() if state == "Cached"} == set(cached) - {"publish"}
    assert set(cached) == {ref["step"] for ref in second["steps"].values()} | {"publish"}

    forced = curate(parse(document), force=True)
    assert (forced["status"], forced["version"]) == ("published", 2)
    assert pd.read_parquet(forced["data"])["id"].tolist() == frame["id"].tolist()


@pytest.mark.slow
def test_another_target_samples_anew_and_clusters_nothing(document: dict[str, Any]) -> None:
    first = curate(parse(document))
    second = curate(parse(document, ["sampling.target=24"]))
    assert (second["status"], second["version"]) == ("published", 2)
    ran = {name for name, state in states().items() if state != "Cached"}
    assert ran == {"sample", "stage", "measure", "validate", "report", "publish"}
    assert first["steps"]["cluster"] == second["steps"]["cluster"]
    assert set(pd.read_parquet(second["data"])["id"]) <= set(pd.read_parquet(first["data"])["id"])


def test_a_failed_gate_publishes_nothing_and_keeps_the_evidence(
    finished: tuple[dict[str, Any], dict[str, Any]],
) -> None:
    document, _ = finished
    strict = parse(
        document,
        ["sampling.target=60", "gates.change={coverage: {at_least: 1.0, of: pool}}", "sampling.strategy=random"],
    )
    before = list_versions(strict.destination, strict.dataset, strict.workspace)
    with pytest.raises(GateFailed, match="coverage") as caught:
        curate(strict)
    assert caught.value.exit_code == 3
    card = Path(str(caught.value.where))
    assert card.parent.parent == Path(document["destination"]["uri"]) / strict.dataset / "blocked"
    assert "coverage" in card.read_text()
    assert (card.parent / "docs" / "index.html").is_file()
    assert list_versions(strict.destination, strict.dataset, strict.workspace) == before != []


def test_rows_do_not_depend_on_where_they_were_computed(
    finished: tuple[dict[str, Any], dict[str, Any]], tmp_path: Path
) -> None:
    document, reference = finished
    (tmp_path / "cluster.yaml").write_text("{kind: local, workers: 2, inline_below: 0B}")
    elsewhere = {
        "workspace": str(tmp_path / "elsewhere"),
        "destination": {"uri": str(tmp_path / "elsewhere-published")},
        "compute": str(tmp_path / "cluster.yaml"),
    }
    other = curate(parse({**document, **elsewhere}))
    pd.testing.assert_frame_equal(pd.read_parquet(reference["data"]), pd.read_parquet(other["data"]))
    [report] = (tmp_path / "elsewhere" / "notes" / "performance").glob("*.html")
    page = report.read_text()
    assert "Dask Performance Report" in page
    assert "cdn.bokeh.org" not in page  # the page draws itself without a network


def broken(document: dict[str, Any], tmp_path: Path, what: str) -> dict[str, Any]:
    pool = Path(document["source"]["uri"])
    if what == "an empty pool":
        for shard in pool.iterdir():
            shard.unlink()
    elif what == "a missing column":
        document["source"]["groups"] = ["language"]
    elif what == "a truncated shard":
        shard = pool / "shard-1.parquet"
        shard.write_bytes(shard.read_bytes()[:-100])
    elif what == "vectors of two lengths":
        frame = pd.read_parquet(pool / "shard-1.parquet")
        frame["vector"] = pd.Series([np.ones(7, np.float32)] * len(frame))
        frame.to_parquet(pool / "shard-1.parquet")
    elif what == "an unwritable destination":
        (tmp_path / "file").write_text("in the way")
        document["destination"]["uri"] = str(tmp_path / "file" / "published")
    return document


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("an empty pool", "holds no shard"),
        ("a missing column", "language"),
        ("a truncated shard", "shard-1"),
        ("vectors of two lengths", "wrong dimension|dimension"),
        ("an unwritable destination", "published"),
    ],
)
def test_bad_input_is_one_clear_message_and_leaves_nothing(
    document: dict[str, Any], tmp_path: Path, what: str, message: str
) -> None:
    recipe = parse(broken(document, tmp_path, what))
    with pytest.raises(EvenkeelError, match=message) as caught:
        curate(recipe)
    assert caught.value.exit_code == 1
    assert not list((tmp_path / "published").rglob("*.parquet"))


@pytest.mark.parametrize(
    ("rows", "overrides"),
    [
        pytest.param(1, ["sampling.target=1"], id="one row", marks=pytest.mark.slow),
        pytest.param(
            *(60, ["clustering.levels=[500, 100]", "sampling.target=10"]),
            id="more clusters than rows",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_extreme_pools_are_curated(document: dict[str, Any], tmp_path: Path, rows: int, overrides: list[str]) -> None:
    document["source"]["uri"] = str(write_shards(tmp_path / "small", rows, shards=1))
    result = curate(parse(document, overrides))
    assert result["totals"]["kept"] == int(overrides[-1].rpartition("=")[2])


def test_a_target_larger_than_the_pool_says_so(document: dict[str, Any], tmp_path: Path) -> None:
    recipe = parse(document, ["sampling.target=5000"])
    with pytest.raises(RecipeError, match="larger than the pool"):
        curate(recipe)
    assert not list((tmp_path / "published").rglob("*.parquet"))


@pytest.mark.slow
def test_all_rows_equal_keep_one(document: dict[str, Any], tmp_path: Path) -> None:
    pool = tmp_path / "equal"
    pool.mkdir()
    frame = pd.DataFrame({"id": [str(row) for row in range(50)], "topic": "a", "text": "the same words again"})
    frame["vector"] = pd.Series([np.ones(4, np.float32)] * 50)
    frame.to_parquet(pool / "shard.parquet")
    document["source"]["uri"] = str(pool)
    totals = curate(parse(document, ["sampling.target=1"]))["totals"]
    assert (totals["kept"], totals["deduplicated"]) == (1, 49)


@pytest.mark.slow
def test_approval_needs_somebody_to_ask(document: dict[str, Any]) -> None:
    recipe = parse(document, ["gates.approval=required"])
    with pytest.raises(GateFailed, match="nobody to ask"):
        curate(recipe)
    assert list_versions(recipe.destination, recipe.dataset, recipe.workspace) == []


@pytest.mark.slow
def test_a_pool_of_vectors_alone_is_curated_with_defaults(document: dict[str, Any]) -> None:
    for shard in Path(document["source"]["uri"]).iterdir():
        pd.read_parquet(shard)[["vector"]].to_parquet(shard)
    document.pop("dedup")
    document["source"].pop("groups")
    totals = curate(parse(document))["totals"]
    assert (totals["kept"], totals["tokens_before"]) == (240, 0)
