"""Clusters of every level have short names, distinct among siblings, that stay while the clusters do."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from evenkeel.infra import storage
from evenkeel.infra.tables import read_table, write_table
from evenkeel.infra.workspace import StepRef
from evenkeel.tasks.cluster.hierarchy import Hierarchy
from evenkeel.tasks.ingest.pool import Pool
from evenkeel.tasks.measure.profile import Profile
from evenkeel.tasks.report.cluster_names import NAMES, _different, last_names, look_at_rows, name_clusters
from evenkeel.tasks.sample.selection import Selection
from tests.report.cards import Card
from tests.sample.pools import write_pool
from tests.validate.pools import Curated, as_previous


@pytest.fixture(scope="module")
def table(first: Card) -> pd.DataFrame:
    """The clusters of a small curated pool."""
    frame: pd.DataFrame = read_table(storage.join(first.ref.uri, "clusters.parquet")).to_pandas()
    return frame


def test_every_cluster_of_every_level_has_a_line_that_agrees_with_the_profile(
    table: pd.DataFrame, curated: Curated
) -> None:
    profile = Profile.open(curated.done["measure"]).clusters
    assert table[["level", "id", "parent"]].to_numpy().tolist() == (
        profile[["level", "cluster", "parent"]].to_numpy().tolist()
    )
    assert (table["pool"].tolist(), table["kept"].tolist()) == (profile["before"].tolist(), profile["after"].tolist())
    assert not table.duplicated(["level", "parent", "name"]).any()
    assert table["name"].str.len().max() < 60
    assert (table["words"].str.len() > 0).mean() > 0.9


def test_names_are_the_words_of_the_rows_and_representatives_are_in_the_cluster(
    table: pd.DataFrame, curated: Curated
) -> None:
    hierarchy, pool = Hierarchy.open(curated.done["cluster"]), Pool.open(curated.done["ingest"])
    leaf = hierarchy.rows().to_pandas().set_index("row_id")
    parts = [pool.table(block, ["row_id", "id"]).to_pandas() for block in pool.blocks]
    row_of = pd.concat(parts).set_index("id")["row_id"]
    kept = set(Selection.open(curated.done["sample"]).row_ids().tolist())
    for level in (1, 2):
        ancestors = hierarchy.ancestors(level)
        mine = table[table["level"] == level]
        for number, ids in zip(mine["id"].tolist(), mine["representatives"].tolist(), strict=True):
            rows = row_of[ids.tolist()]
            assert set(rows) <= kept
            assert set(ancestors[leaf.loc[rows, "leaf"]]) <= {number}
            assert leaf.loc[rows, "distance"].is_monotonic_increasing
    assert not table["name"].str.contains("jane|example|akia", case=False).any()


def planted(folder: Path) -> tuple[Hierarchy, pd.DataFrame, Pool, StepRef]:
    """Two top clusters of two leaves each; the leaves of a parent share a word."""
    leaf = np.arange(80) // 20
    topics = ["animal cat", "animal dog", "plant oak", "plant elm"]
    steps = write_pool(
        folder,
        np.eye(4)[leaf] + 0.001 * np.arange(80)[:, None],
        levels=[leaf],
        parents=[np.array([0, 0, 1, 1])],
        texts=[f"{topics[one]} row{'abcdefghijklmnopqrstuvwxyz'[row % 26]}" for row, one in enumerate(leaf)],
    )
    hierarchy = Hierarchy.open(steps["cluster"])
    profile = pd.DataFrame(
        [(1, one, one // 2, 20, 5) for one in range(4)] + [(2, one, -1, 40, 10) for one in range(2)],
        columns=["level", "cluster", "parent", "before", "after"],
    )
    rows = np.arange(0, 80, 4)
    selected = {
        "row_id": rows.astype(np.uint64),
        "copies": np.ones(len(rows), np.int32),
        "leaf": leaf[rows].astype(np.int32),
    }
    write_table(str(folder / "sample" / "selection.parquet"), pa.table(selected))
    return hierarchy, profile, Pool.open(steps["ingest"]), StepRef(step="sample", key="s", uri=str(folder / "sample"))


def test_a_leaf_is_named_by_what_its_sibling_is_not(tmp_path: Path) -> None:
    hierarchy, profile, pool, sample = planted(tmp_path)
    table = name_clusters(hierarchy, profile, look_at_rows(sample, pool, hierarchy), {}).to_pandas()
    assert [name.split(", ")[0] for name in table["name"]] == ["cat", "dog", "oak", "elm", "animal", "plant"]


def test_names_stay_while_the_clusters_do(tmp_path: Path) -> None:
    hierarchy, profile, pool, sample = planted(tmp_path)
    rows = look_at_rows(sample, pool, hierarchy)
    before = name_clusters(hierarchy, profile, rows, {})
    last = {(one["level"], one["id"]): (one["name"], one["words"]) for one in before.to_pylist()}
    other = {leaf: found[::-1][:1] for leaf, found in rows.items() if leaf != 2}
    assert name_clusters(hierarchy, profile, other, last)["name"] == before["name"]
    assert name_clusters(hierarchy, profile, other, {})["name"] != before["name"]
    silent = name_clusters(hierarchy, profile, {}, {})["name"].to_pylist()
    assert silent == ["cluster 0", "cluster 1", "cluster 2", "cluster 3", "cluster 0", "cluster 1"]


def test_the_last_names_are_those_of_the_same_clusters(curated: Curated, first: Card, tmp_path: Path) -> None:
    uri = storage.join(first.ref.uri, "clusters.parquet")
    previous = as_previous(curated)
    named = previous.model_copy(update={"facts": {**previous.facts, NAMES: uri}})
    digest = curated.done["cluster"].facts["centroid_hash"]
    found = last_names(named, digest)
    assert len(found) > 60
    assert last_names(named, "another") == last_names(previous, digest) == last_names(None, digest) == {}


def test_a_name_does_not_say_one_word_twice() -> None:
    words = ["parameters", "parameter", "expr", "expression", "matrix", "digit 5", "digit 3", "array", "arrow"]
    assert _different(words) == ["parameters", "expr", "matrix", "digit 5", "digit 3", "array", "arrow"]
