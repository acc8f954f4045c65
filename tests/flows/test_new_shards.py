"""New shards: only they are read, old rows stay where they were, and what comes out is nearly a full run's."""

import copy
import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from evenkeel.flows.curate import curate
from evenkeel.flows.lineage import Lineage, resolve_lineage, save_shard_numbers
from evenkeel.flows.pipeline import cluster_pool, stage_version
from evenkeel.flows.plan import Plan, plan
from evenkeel.flows.recipe import Recipe, parse
from evenkeel.flows.running import running
from evenkeel.flows.sweep import sweep_sizes
from evenkeel.infra.errors import InputError
from evenkeel.infra.workspace import StepRef
from evenkeel.tasks.publish.staging.step import read_staged
from evenkeel.tasks.step import ConfigT, InputsT, Step
from evenkeel.tasks.versions.diff import diff
from evenkeel.tasks.versions.listing import list_versions
from tests.flows.conftest import DIMENSION, write_shards

pytestmark = pytest.mark.usefixtures("prefect_server")


@pytest.fixture
def source(document: dict[str, Any], tmp_path: Path) -> Path:
    """A pool of six shards of 300 rows."""
    folder = write_shards(tmp_path / "six", rows=1800, shards=6)
    document["source"]["uri"] = str(folder)
    return folder


def add(source: Path, name: str, rows: int = 100, seed: int = 5, away: bool = False) -> Path:
    """Add a shard of rows of the same topics, or of others."""
    fresh = write_shards(source.parent / f"fresh-{seed}", rows, shards=1, seed=seed) / "shard-0.parquet"
    if away:
        table = pq.read_table(fresh)
        vectors = np.stack(table["vector"].to_pylist()) + np.float32(5)
        column = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel(), pa.float32()), DIMENSION)
        pq.write_table(table.set_column(table.column_names.index("vector"), "vector", column), fresh)
    return Path(shutil.copy(fresh, source / name))


def spoil(shard: Path) -> None:
    """Replace a shard by zeros of the same size and time of change: whoever reads it fails."""
    status = shard.stat()
    shard.write_bytes(bytes(status.st_size))
    os.utime(shard, ns=(status.st_atime_ns, status.st_mtime_ns))


def planned(recipe: Recipe) -> Plan:
    with running(recipe) as run:
        return plan(recipe, run)


def walk(recipe: Recipe, last: str = "stage") -> tuple[dict[str, StepRef], Lineage]:
    """Walk the steps of a run without Prefect, and end it as a crash would when `last` has finished."""

    class Killed(Exception):
        pass

    done: dict[str, StepRef] = {}

    def run_step(step: Step[ConfigT, InputsT], config: ConfigT, inputs: InputsT) -> StepRef:
        done[step.name] = step(config, inputs, run)
        if step.name == last:
            raise Killed
        return done[step.name]

    with running(recipe) as run:
        lineage = resolve_lineage(recipe, run.workspace)
        save_shard_numbers(recipe, run.workspace, lineage.request)
        with pytest.raises(Killed):
            stage_version(recipe, lineage, cluster_pool(recipe, lineage, run_step), run_step)
    return done, lineage


def centroid_hash(result: dict[str, Any]) -> str:
    return str(result["steps"]["cluster"]["facts"]["centroid_hash"])


def test_only_a_new_shard_is_read_and_the_rest_stays(document: dict[str, Any], source: Path) -> None:
    recipe = parse(document)
    first = curate(recipe)
    for shard in source.iterdir():
        spoil(shard)
    add(source, "a-new.parquet")
    assert [step.name for step in planned(recipe).steps if not step.done][:4] == ["ingest", "embed", "dedup", "assign"]

    second = curate(recipe)
    assert (second["status"], second["version"]) == ("published", 2)
    assert second["shards"] == {"since": 1, "new": ["a-new.parquet"], "changed": [], "vanished": []}
    counts = second["steps"]["ingest"]["counts"]
    assert (counts["shards"], counts["shards_taken"], counts["pool"]) == (7, 6, 1900)
    assert second["steps"]["cluster"]["step"] == "assign"
    assert centroid_hash(second) == centroid_hash(first)
    assert (second["clusters"], second["drift"]["new"]) == ("those of v1", 100)
    assert second["drift"]["drift"] < 0.1
    assert second["steps"]["sample"]["facts"]["chosen"] == first["steps"]["sample"]["facts"]["chosen"]
    before, after = (pd.read_parquet(result["data"]).set_index("id") for result in (first, second))
    both = before.index.intersection(after.index)
    columns = ["ek_row_id", "ek_shard", "ek_row", "ek_cluster_1", "ek_cluster_2"]
    pd.testing.assert_frame_equal(before.loc[both, columns], after.loc[both, columns])
    changed = diff(recipe.destination, recipe.dataset, 1, 2, recipe.workspace)
    assert changed.same_clustering
    assert changed.removed <= 0.15 * changed.unchanged
    assert after.loc[after.index.difference(before.index)].index.str.startswith("row-5-").mean() > 0.3

    third = curate(recipe)
    assert (third["status"], third["version"]) == ("unchanged", 2)
    assert third["steps"] == second["steps"]
    assert all(step.done for step in planned(recipe).steps)


@pytest.mark.slow
def test_the_result_is_nearly_that_of_a_full_run(document: dict[str, Any], source: Path, tmp_path: Path) -> None:
    curate(parse(document))
    add(source, "shard-6.parquet", rows=90)
    grown = curate(parse(document))
    apart = {"workspace": str(tmp_path / "apart"), "destination": {"uri": str(tmp_path / "apart-published")}}
    full = curate(parse({**document, **apart}))
    assert full["clusters"] == "this is the first version"
    evenness = [
        {line["scope"]: line["entropy"] for line in result["balance"] if line["stage"] == "after"}
        for result in (grown, full)
    ]
    assert evenness[0]["group.topic"] == pytest.approx(evenness[1]["group.topic"], abs=0.05)
    assert evenness[0]["level-1"] == pytest.approx(evenness[1]["level-1"], abs=0.02)
    kept = [set(pd.read_parquet(result["data"])["id"]) for result in (grown, full)]
    assert len(kept[0] & kept[1]) >= 0.5 * len(kept[0])


@pytest.mark.slow
def test_other_topics_cluster_anew(document: dict[str, Any], source: Path) -> None:
    recipe = parse(document)
    first = curate(recipe)
    add(source, "shard-6.parquet", rows=300, away=True)
    second = curate(recipe)
    assert second["version"] == 2
    assert second["drift"]["drift"] > 0.25
    assert second["clusters"].endswith("is over the limit of 0.25")
    assert centroid_hash(second) != centroid_hash(first)
    assert second["steps"]["cluster"]["step"] == "cluster"
    again, _ = walk(recipe)
    assert all(ref.model_dump(mode="json") in second["steps"].values() for ref in again.values())

    add(source, "shard-7.parquet", seed=6)
    third, lineage = walk(recipe)
    assert lineage.why == "those of v2"
    assert third["assign"].facts["centroid_hash"] == centroid_hash(second)


@pytest.mark.slow
def test_a_sweep_is_over_the_clusters_and_rows_that_a_run_would_take(document: dict[str, Any], source: Path) -> None:
    recipe = parse(document)
    curate(recipe)
    for shard in source.iterdir():
        spoil(shard)
    add(source, "a-new.parquet")
    found = sweep_sizes(recipe, ["5%", "20%"], Console(quiet=True))
    assert [row["rows"] for row in found if row["rule"] == "chosen"] == [95, 380]
    made = {step: list((Path(document["workspace"]) / "notes" / step).iterdir()) for step in ("cluster", "assign")}
    assert {step: len(folders) for step, folders in made.items()} == {"cluster": 1, "assign": 1}
    assert len(list_versions(recipe.destination, recipe.dataset, recipe.workspace)) == 1

    second = curate(recipe)
    assert second["clusters"] == "those of v1"
    assert second["steps"]["cluster"]["key"] == made["assign"][0].name
    add(source, "b-away.parquet", rows=400, seed=6, away=True)
    sweep_sizes(recipe, ["5%"], Console(quiet=True))
    assert len(list((Path(document["workspace"]) / "notes" / "cluster").iterdir())) == 2


@pytest.mark.slow
def test_a_limit_that_is_never_reached_keeps_the_clusters(document: dict[str, Any], source: Path) -> None:
    first = curate(parse(document))
    add(source, "shard-6.parquet", rows=300, away=True)
    lenient, lineage = walk(parse(document, ["clustering.drift_limit=100"]))
    assert "cluster" not in lenient
    assert lenient["assign"].facts["centroid_hash"] == centroid_hash(first)
    assert lineage.drift is not None
    assert lineage.drift.far > 0.9


@pytest.mark.slow
def test_changed_and_vanished_shards_are_noticed(document: dict[str, Any], source: Path) -> None:
    recipe = parse(document)
    first = curate(recipe)
    gone = set(pq.read_table(source / "shard-4.parquet")["id"].to_pylist())
    (source / "shard-4.parquet").unlink()
    add(source, "shard-2.parquet", rows=280)
    with pytest.raises(InputError, match=r"changed: shard-2\.parquet; vanished: shard-4\.parquet"):
        curate(parse(document, ["source.on_change=fail"]))
    assert len(list_versions(recipe.destination, recipe.dataset, recipe.workspace)) == 1

    second = curate(recipe)
    assert second["shards"] == {"since": 1, "new": [], "changed": ["shard-2.parquet"], "vanished": ["shard-4.parquet"]}
    assert second["totals"]["read"] == 1800 - 300 - 20
    assert second["steps"]["ingest"]["counts"]["shards_taken"] == 4
    assert (centroid_hash(second), second["drift"]["new"]) == (centroid_hash(first), 280)
    rows = pd.read_parquet(second["data"])
    assert not gone & set(rows["id"])
    assert rows.loc[rows["ek_shard"] == 2, "id"].str.startswith("row-5-").all()
    assert set(rows["ek_shard"]) == {0, 1, 2, 3, 5}


@pytest.mark.slow
def test_touched_shards_make_no_version(document: dict[str, Any], source: Path) -> None:
    recipe = parse(document)
    first = curate(recipe)
    os.utime(source / "shard-1.parquet", (1, 1))
    second, lineage = walk(recipe)
    assert lineage.changes.changed == ["shard-1.parquet"]
    key = read_staged(StepRef.model_validate(first["steps"]["stage"])).content_key
    assert read_staged(second["stage"]).content_key == key


@pytest.mark.slow
def test_a_run_that_was_killed_goes_on(document: dict[str, Any], source: Path) -> None:
    recipe = parse(document)
    curate(recipe)
    add(source, "a-new.parquet")
    for last in ("ingest", "embed", "assign", "sample"):
        walk(recipe, last)
    add(source, "a-later.parquet", rows=20, seed=50)
    walk(recipe, "ingest")
    result = curate(recipe)
    assert (result["status"], result["version"], result["clusters"]) == ("published", 2, "those of v1")
    assert result["steps"]["ingest"]["counts"]["shards_taken"] == 7
    assert {shard["name"]: shard["number"] for shard in shards_of(result)} == {
        **{f"shard-{number}.parquet": number for number in range(6)},
        "a-new.parquet": 6,
        "a-later.parquet": 7,
    }


def shards_of(result: dict[str, Any]) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = json.loads((Path(result["steps"]["ingest"]["uri"]) / "shards.json").read_text())
    return listed


@pytest.mark.slow
def test_clusters_are_used_again_only_where_they_fit(document: dict[str, Any], source: Path) -> None:
    curate(parse(document))
    add(source, "shard-6.parquet")
    for change, why in (
        ("clustering.seed=1", "clustering changed since v1"),
        ("embedding={method: column, normalise: true}", "embedding changed since v1"),
        ("source.vector=vector", "source changed since v1"),
        ("clustering.reuse=never", "clustering.reuse is never"),
        ("clustering.drift_limit=0.1", "those of v1"),
        ("sampling.target=100", "those of v1"),
        ("source.groups=[]", "those of v1"),
    ):
        assert planned(parse(copy.deepcopy(document), [change])).clusters == why
    shutil.rmtree(Path(document["workspace"]) / "notes" / "cluster")
    assert planned(parse(document)).clusters.startswith("the workspace no longer holds cluster/")


@pytest.mark.slow
def test_texts_are_embedded_by_the_map_there_is(document: dict[str, Any], tmp_path: Path) -> None:
    folder = tmp_path / "texts"
    folder.mkdir()
    rng = np.random.default_rng(0)
    words = np.array([[f"{topic}{word}" for word in range(40)] for topic in ("ant", "bee", "cat", "dog")])

    def write(name: str, rows: int) -> None:
        texts = [" ".join(rng.choice(words[row % 4], 12)) for row in range(rows)]
        pq.write_table(pa.table({"id": [f"{name}-{row}" for row in range(rows)], "text": texts}), folder / name)

    for name in ("a.parquet", "b.parquet"):
        write(name, 200)
    document["source"] = {"uri": str(folder)}
    recipe = parse(document, ["embedding={method: tfidf-svd, dimension: 8}", "sampling.target=100"])
    first = curate(recipe)
    write("0.parquet", 40)
    second, lineage = walk(recipe)
    assert lineage.why == "those of v1"
    assert second["embed"].facts["blocks_taken"] == 2
    places = [Path(first["steps"]["embed"]["uri"]), Path(second["embed"].uri)]
    for name in ("projection.npy", "features.npy"):
        assert (places[0] / "map" / name).read_bytes() == (places[1] / "map" / name).read_bytes()
    old, new = (np.load(place / "vectors" / "s000000-b000000.npy") for place in places)
    np.testing.assert_array_equal(old, new)
    assert second["assign"].facts["drift"]["drift"] < 0.1
