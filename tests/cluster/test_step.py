"""The cluster step: from ingested vectors to a hierarchy, in memory and split, on any workers, after any crash."""

import json
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from evenkeel.infra import storage
from evenkeel.infra.compute import Compute
from evenkeel.infra.workspace import StepRef
from evenkeel.tasks.cluster.config import ClusteringConfig
from evenkeel.tasks.cluster.hierarchy import Hierarchy, centroid_hash
from evenkeel.tasks.cluster.inputs import ClusterInputs
from evenkeel.tasks.cluster.levels import derive_levels, fit_levels
from evenkeel.tasks.cluster.step import CLUSTER
from evenkeel.tasks.dedup.config import DedupConfig
from evenkeel.tasks.dedup.inputs import DedupInputs
from evenkeel.tasks.dedup.step import DEDUP
from evenkeel.tasks.embed.embedders.column import ColumnEmbedding
from evenkeel.tasks.embed.inputs import EmbedInputs
from evenkeel.tasks.embed.step import EMBED
from evenkeel.tasks.ingest.pool import Pool
from evenkeel.tasks.step import Run
from tests.embed.pools import make_pool, new_run
from tests.kmeans.mixtures import mixture

TINY = 4e-4  # GiB: forces the pools of these tests to be split


def prepared(folder: Path, vectors: np.ndarray) -> tuple[Run, dict[str, StepRef]]:
    """Ingest, embed and deduplicate a matrix with the real steps."""
    run = new_run(folder)
    ingest = make_pool(run, folder / "shards", {"vector": vectors}, vector="vector", rows_per_block=500)
    embed = EMBED(ColumnEmbedding(), EmbedInputs(ingest=ingest), run)
    dedup = DEDUP(DedupConfig(exact=False, near=None), DedupInputs(ingest=ingest, embed=embed), run)
    return run, {"ingest": ingest, "embed": embed, "dedup": dedup}


def clustered(folder: Path, vectors: np.ndarray, **settings: Any) -> tuple[Hierarchy, StepRef]:
    run, inputs = prepared(folder, vectors)
    ref = CLUSTER(ClusteringConfig(**settings), ClusterInputs.of(inputs), run)
    return Hierarchy.open(ref), ref


def check(hierarchy: Hierarchy, vectors: np.ndarray, settled: float = 0.9) -> None:
    """Hold a hierarchy to its contract."""
    table = hierarchy.rows()
    leaf, distance = table["leaf"].to_numpy(), table["distance"].to_numpy()
    assert len(table) == len(vectors)
    assert (np.diff(table["row_id"].to_numpy().astype(np.int64)) > 0).all()
    leaves = hierarchy.levels[0]
    np.testing.assert_allclose(distance, np.linalg.norm(vectors - leaves.centroids[leaf], axis=1), rtol=1e-3, atol=1e-3)
    assert np.array_equal(np.bincount(leaf, minlength=leaves.clusters), leaves.counts)
    assert leaves.inertia == pytest.approx((distance.astype(np.float64) ** 2).sum(), rel=1e-4)
    for below, above in zip(hierarchy.levels, hierarchy.levels[1:], strict=False):
        assert np.array_equal(np.bincount(below.parents, below.counts, above.clusters).astype(int), above.counts)
        nearest = ((below.centroids[:, None] - above.centroids[None]) ** 2).sum(axis=2).argmin(axis=1)
        assert (nearest == below.parents).mean() >= settled
    assert (hierarchy.levels[-1].parents == -1).all()
    for level in hierarchy.levels:
        assert level.counts.sum() == len(vectors)
        assert (level.counts > 0).all()
        assert level.centroids.dtype == np.float32
    assert hierarchy.centroid_hash == centroid_hash(hierarchy.levels)
    assert hierarchy.paths().shape == (hierarchy.leaves, len(hierarchy.levels))
    assert np.array_equal(hierarchy.ancestors(len(hierarchy.levels)), hierarchy.paths()[:, -1])


@pytest.mark.long
def test_a_pool_in_memory(tmp_path: Path) -> None:
    x = mixture(3000, 12, 60)
    hierarchy, ref = clustered(tmp_path, x, levels=[200, 20, 4], resampling=2)
    check(hierarchy, x)
    assert [level.clusters for level in hierarchy.levels] == [200, 20, 4]
    assert ref.counts == {"rows": 3000, "levels": 3, "leaves": 200}
    assert not (Path(ref.uri) / "parts").exists()


@pytest.mark.long
def test_a_pool_larger_than_memory_is_about_as_good(tmp_path: Path) -> None:
    x = mixture(6000, 12, 100)
    whole, _ = clustered(tmp_path / "whole", x, levels=[300, 20], resampling=0)
    parts, _ = clustered(tmp_path / "parts", x, levels=[300, 20], resampling=0, memory_gib=TINY)
    check(parts, x)
    assert abs(parts.leaves - 300) <= 3
    assert parts.levels[0].inertia <= 1.08 * whole.levels[0].inertia


@pytest.mark.parametrize("power", [100, -100])
@pytest.mark.long
def test_a_pool_in_groups_is_the_same_however_large_its_numbers_are(tmp_path: Path, power: int) -> None:
    """Squares of them are no float32, and groups get leaves by their summed squares."""
    x, settings = mixture(1000, 6, 20), {"levels": [40], "resampling": 0, "memory_gib": TINY / 8}
    plain, _ = clustered(tmp_path / "plain", x, **settings)
    scaled, _ = clustered(tmp_path / "scaled", x * np.float32(2.0**power), **settings)
    assert scaled.levels[0].counts.tolist() == plain.levels[0].counts.tolist()


@pytest.mark.parametrize("memory", [2.0, TINY])
@pytest.mark.long
def test_threads_and_workers_do_not_change_the_rows(tmp_path: Path, memory: float) -> None:
    run, inputs = prepared(tmp_path, mixture(3000, 12, 60))
    config = ClusteringConfig(levels=[150, 12], resampling=1, memory_gib=memory)
    tables = []
    for threads in (1, 2, 4):
        there = replace(run, workspace=str(tmp_path / f"threads-{threads}"), compute=Compute(threads=threads))
        hierarchy = Hierarchy.open(CLUSTER(config, ClusterInputs.of(inputs), there))
        tables.append((hierarchy.centroid_hash, hierarchy.rows()))
    assert tables[0] == tables[1] == tables[2]


@pytest.mark.parametrize("memory", [2.0, TINY])
@pytest.mark.long
def test_the_log_tells_of_every_iteration(tmp_path: Path, memory: float) -> None:
    _, ref = clustered(
        tmp_path, mixture(3000, 12, 60), levels=[150, 12], upper="k-means", resampling=1, memory_gib=memory
    )
    entries = json.loads((Path(ref.uri) / "log.json").read_text())
    assert {entry["level"] for entry in entries} == {1, 2}
    assert all(("group" in entry) == (memory == TINY) for entry in entries if entry["level"] == 1)
    for before, entry in pairwise(entries):
        assert entry["inertia"] >= 0
        assert entry["seconds"] >= 0
        assert {"round", "moved", "reseeded"} <= set(entry)
        assert entry["iteration"] in (1, before["iteration"] + 1)


@pytest.mark.parametrize("upper", ["k-means", "auto"])
def test_every_level_tells_how_far_its_iterations_are(tmp_path: Path, upper: str) -> None:
    """Also one of several starts, whose iterations begin anew."""
    run, inputs = prepared(tmp_path, mixture(1500, 12, 60))
    told: list[tuple[float, str]] = []
    run = replace(run, progress=lambda done, message: told.append((done, message)))
    settings = {"levels": [150, 30, 5], "resampling": 1, "upper": upper}
    ref = CLUSTER(ClusteringConfig.model_validate(settings), ClusterInputs.of(inputs), run)
    for level, first, last in ((1, 0.0, 0.8), (2, 0.8, 0.9), (3, 0.9, 1.0)):
        shares = [done for done, message in told if message.startswith(f"level {level}: round")]
        assert len(shares) >= 2, level
        assert first <= min(shares) < max(shares) <= last
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert told[-1][0] == 1
    entries = json.loads((Path(ref.uri) / "log.json").read_text())
    places = [(entry["level"], entry["round"], entry["iteration"]) for entry in entries]
    assert len(set(places)) == len(places)
    assert {one for level, one, _ in places if level == 3} == set(range(2 if upper == "k-means" else 5))


KILLED = """
import os, signal, sys
from pathlib import Path
from evenkeel.infra.workspace import StepRef
from evenkeel.tasks.cluster.checkpoint import Checkpoint
from evenkeel.tasks.cluster.config import ClusteringConfig
from evenkeel.tasks.cluster.inputs import ClusterInputs
from evenkeel.tasks.cluster.step import CLUSTER
from evenkeel.tasks.step import Run
from evenkeel.infra.compute import Compute
workspace, scratch, config, inputs, last = sys.argv[1:]
Checkpoint.pause = 0
seen = 0
def progress(done, message):
    global seen
    seen += 1
    if message.startswith(last) or str(seen) == last:
        os.kill(os.getpid(), signal.SIGKILL)
import json
inputs = {name: StepRef.model_validate(ref) for name, ref in json.loads(inputs).items()}
run = Run(workspace, "pool", Path(scratch), Compute(threads=1), progress)
CLUSTER(ClusteringConfig.model_validate_json(config), ClusterInputs.of(inputs), run)
"""


KILLS = [
    pytest.param(2.0, "20", marks=pytest.mark.slow),
    (2.0, "7"),
    pytest.param(TINY, "12", marks=pytest.mark.slow),
    pytest.param(2.0, "level 3: 12", marks=pytest.mark.slow),
]


@pytest.mark.long
@pytest.mark.parametrize(("memory", "last"), KILLS)
def test_a_killed_run_goes_on_and_ends_the_same(tmp_path: Path, memory: float, last: str) -> None:
    run, inputs = prepared(tmp_path, mixture(3000, 12, 60))
    config = ClusteringConfig(levels=[150, 12, 3], resampling=3, memory_gib=memory)
    aside = replace(run, workspace=str(tmp_path / "aside"))
    expected = Hierarchy.open(CLUSTER(config, ClusterInputs.of(inputs), aside))
    refs = json.dumps({name: ref.model_dump(mode="json") for name, ref in inputs.items()})
    there = str(tmp_path / "killed")
    arguments = [there, str(run.scratch), config.model_dump_json(), refs, last]
    killed = subprocess.run([sys.executable, "-c", KILLED, *arguments], capture_output=True, check=False)
    assert killed.returncode == -9, killed.stderr.decode()
    left = list(Path(there).rglob("parts/level-1/*"))
    assert left
    messages: list[str] = []
    again = replace(run, workspace=there, progress=lambda done, message: messages.append(message))
    found = Hierarchy.open(CLUSTER(config, ClusterInputs.of(inputs), again))
    assert found.centroid_hash == expected.centroid_hash
    assert found.rows() == expected.rows()
    if memory == 2.0:
        assert not any("level 1: round 0, iteration 4," in message for message in messages)
        assert any("level 1: round 0" in message for message in messages) == (last == "7")


def test_a_run_killed_while_the_parts_are_removed_only_removes_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, inputs = prepared(tmp_path, mixture(300, 6))
    config, taken = ClusteringConfig(levels=[20, 4], resampling=0), ClusterInputs.of(inputs)
    expected = CLUSTER(config, taken, replace(run, workspace=str(tmp_path / "aside")))
    there = replace(run, workspace=str(tmp_path / "killed"))

    remove = storage.remove

    def killed(uri: str) -> None:
        if not uri.endswith("parts"):
            return remove(uri)
        (Path(uri) / "level-2" / "centroids-0.npy").unlink()
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(storage, "remove", killed)
        with pytest.raises(KeyboardInterrupt):
            CLUSTER(config, taken, there)
    assert CLUSTER.finished(config, taken, there) is None
    found = CLUSTER(config, taken, there)
    assert (found.counts, found.facts) == (expected.counts, expected.facts)
    assert Hierarchy.open(found).rows() == Hierarchy.open(expected).rows()
    names = [{path.relative_to(ref.uri) for path in Path(ref.uri).rglob("*")} for ref in (expected, found)]
    assert names[0] == names[1]


@pytest.mark.parametrize("memory", [2.0, 1e-7])
@pytest.mark.parametrize("levels", [[10, 6], [103, 50, 3], None])
@pytest.mark.long
def test_hundred_rows_three_of_them_distinct(tmp_path: Path, levels: list[int] | None, memory: float) -> None:
    x = np.repeat(mixture(3, 4), [50, 40, 13], axis=0)
    hierarchy, _ = clustered(tmp_path, x, levels=levels, memory_gib=memory)
    check(hierarchy, x)
    assert hierarchy.leaves == 3
    assert sorted(hierarchy.levels[0].counts.tolist()) == [13, 40, 50]


@pytest.mark.parametrize("rows", [1, 2, 7])
def test_tiny_pools(tmp_path: Path, rows: int) -> None:
    x = mixture(rows, 4, 3)
    hierarchy, _ = clustered(tmp_path, x)
    check(hierarchy, x)


def test_clusters_of_equal_size(tmp_path: Path) -> None:
    x = np.repeat(np.eye(8, dtype=np.float32), 25, axis=0)
    hierarchy, _ = clustered(tmp_path, x, levels=[8, 4, 2])
    check(hierarchy, x, settled=0)
    assert hierarchy.levels[0].counts.tolist() == [25] * 8


@pytest.mark.long
def test_no_leaf_is_larger_than_its_bound(tmp_path: Path) -> None:
    x = mixture(4000, 12, 20)
    free, _ = clustered(tmp_path / "free", x, levels=[60])
    bound, _ = clustered(tmp_path / "bound", x, levels=[60], max_share=0.02)
    assert free.levels[0].counts.max() > 80
    assert bound.levels[0].counts.max() <= 80
    check(bound, x)


@pytest.mark.long
def test_no_parent_has_too_many_children(tmp_path: Path) -> None:
    x = mixture(4000, 12, 20)
    free, _ = clustered(tmp_path / "free", x, levels=[300, 20], upper="k-means")
    bound, _ = clustered(tmp_path / "bound", x, levels=[300, 20], upper="k-means", sibling_ratio=2)
    assert np.bincount(free.levels[0].parents).max() > 30
    assert np.bincount(bound.levels[0].parents).max() <= 30
    check(bound, x, settled=0.3)


def test_dropped_rows_are_not_clustered(tmp_path: Path) -> None:
    run = new_run(tmp_path)
    x = mixture(300, 6)
    ingest = make_pool(run, tmp_path / "shards", {"vector": np.concatenate([x, x])}, vector="vector")
    embed = EMBED(ColumnEmbedding(), EmbedInputs(ingest=ingest), run)
    dedup = DEDUP(DedupConfig(exact=True, near=None), DedupInputs(ingest=ingest, embed=embed), run)
    hierarchy = Hierarchy.open(
        CLUSTER(ClusteringConfig(levels=[20]), ClusterInputs(ingest=ingest, embed=embed, dedup=dedup), run)
    )
    assert len(hierarchy.rows()) == 300
    assert hierarchy.blocks == [block.name for block in Pool.open(ingest).blocks]


def test_levels_follow_from_the_rows_alone() -> None:
    assert derive_levels(100_000) == [3333, 333, 33]
    assert derive_levels(0) == []
    assert derive_levels(1) == [1]
    assert derive_levels(10**12)[0] == 10_000_000
    for rows in (1, 5, 10, 99, 1000, 10**6, 10**9):
        levels = derive_levels(rows)
        assert levels[0] <= rows
        assert levels == sorted(levels, reverse=True)
    assert fit_levels([3000, 300, 30], 100) == [100, 100, 30]


def test_levels_that_grow_are_refused() -> None:
    with pytest.raises(ValidationError, match="largest number of clusters first"):
        ClusteringConfig(levels=[30, 300])
    with pytest.raises(ValidationError):
        ClusteringConfig(levels=[])
