"""Size-penalised assignment evens out the leaves at a price, and later rows are assigned by the same offsets."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from evenkeel.infra.errors import InputError
from evenkeel.tasks.cluster.assign import ASSIGN
from evenkeel.tasks.cluster.config import AssignConfig, ClusteringConfig
from evenkeel.tasks.cluster.hierarchy import Hierarchy
from evenkeel.tasks.cluster.inputs import AssignInputs, ClusterInputs
from evenkeel.tasks.cluster.step import CLUSTER
from tests.cluster.test_assign import pool
from tests.embed.pools import new_run

# Dense in the middle, thin around it.
RNG = np.random.default_rng(8)
ROWS = (RNG.normal(size=(3000, 3)) * RNG.uniform(0.1, 1.5, (3000, 1)) ** 2).astype(np.float32)
PLAIN = ClusteringConfig(levels=[24, 4], resampling=1)


@pytest.mark.parametrize("memory_gib", [2.0, pytest.param(2e-5, marks=pytest.mark.slow)], ids=["one", "split"])
@pytest.mark.long
def test_a_penalty_evens_out_the_leaves_and_says_its_price(tmp_path: Path, memory_gib: float) -> None:
    run = new_run(tmp_path)
    inputs = ClusterInputs.of(pool(run, tmp_path / "shards", ROWS))
    largest, inertia = [], []
    for penalty in (0.0, 0.3, 3.0):
        ref = CLUSTER(PLAIN.model_copy(update={"size_penalty": penalty, "memory_gib": memory_gib}), inputs, run)
        made = Hierarchy.open(ref)
        counts, rows = made.levels[0].counts, made.rows()
        assert counts.sum() == len(ROWS)
        assert np.bincount(rows["leaf"], minlength=len(counts)).tolist() == counts.tolist()
        gaps = np.linalg.norm(ROWS - made.levels[0].centroids[rows["leaf"].to_numpy()], axis=1)
        np.testing.assert_allclose(rows["distance"].to_numpy(), gaps, rtol=1e-3, atol=2e-3)
        largest.append(int(counts.max()))
        inertia.append(made.levels[0].inertia)
        if not penalty:
            assert made.offsets is None
            continue
        assert made.offsets is not None
        mean = inertia[0] / len(ROWS)
        slope = penalty * mean * len(counts) / len(ROWS)
        off = made.offsets - made.offsets.min() - slope * (counts - counts.min())
        assert np.abs(off).mean() < 0.02 * slope * counts.max(), "an offset is the penalty of the rows that came"
        price = ref.facts["size_penalty"]
        assert price["largest"] == {"before": largest[0], "after": largest[-1]}
        assert price["inertia"] == pytest.approx(inertia[-1] / inertia[0] - 1, abs=1e-3)
    assert largest[0] > 1.15 * largest[1] > 1.15 * 1.15 * largest[2], "a larger penalty evens out more"
    assert inertia[0] < inertia[1] < inertia[2] < 2 * inertia[0]


@pytest.mark.long
def test_a_penalty_is_the_same_where_workers_keep_copies_of_remote_files(tmp_path: Path) -> None:
    """Every pass has an index of its own, and only that of the last is left with a worker."""
    run = new_run(tmp_path, threads=1)
    inputs = ClusterInputs.of(pool(run, tmp_path / "shards", ROWS[:600]))
    config = ClusteringConfig(levels=[24, 4], resampling=0, size_penalty=3.0)
    here = CLUSTER(config, inputs, run)
    far = CLUSTER(config, inputs, replace(run, workspace=f"memory://{tmp_path.name}"))
    assert far.facts == here.facts
    assert Hierarchy.open(far).rows() == Hierarchy.open(here).rows()
    assert len(list(run.scratch.rglob("centroids.npy"))) == 1


@pytest.mark.parametrize("scale", [1e25, 1e-25])
def test_a_penalty_that_float32_does_not_hold_is_refused(tmp_path: Path, scale: float) -> None:
    run = new_run(tmp_path, threads=1)
    inputs = ClusterInputs.of(pool(run, tmp_path / "shards", ROWS[:100] * np.float32(scale)))
    with pytest.raises(InputError, match="size_penalty"):
        CLUSTER(ClusteringConfig(levels=[9], resampling=0, size_penalty=1.0), inputs, run)


@pytest.mark.slow
def test_rows_that_come_later_are_assigned_by_the_same_rule(tmp_path: Path) -> None:
    """The same vectors as a new shard get the leaves that their twins have; by distance alone many would not."""
    run = new_run(tmp_path)
    first = pool(run, tmp_path / "before", ROWS)
    base = CLUSTER(PLAIN.model_copy(update={"size_penalty": 3.0}), ClusterInputs.of(first), run)
    twice = pool(run, tmp_path / "now", ROWS, ROWS + np.float32(1e-6))
    ref = ASSIGN(AssignConfig(), AssignInputs.of(twice | {"base": base, "base_ingest": first["ingest"]}), run)
    made, then = Hierarchy.open(ref), Hierarchy.open(base)
    leaves = made.rows()["leaf"].to_numpy()
    assert len(leaves) == 2 * len(ROWS)
    assert (leaves[: len(ROWS)] == then.rows()["leaf"].to_numpy()).all()
    assert (leaves[: len(ROWS)] == leaves[len(ROWS) :]).mean() > 0.999
    gaps = ((ROWS[:, None] - then.levels[0].centroids[None]) ** 2).sum(axis=2)
    assert (gaps.argmin(axis=1) == leaves[: len(ROWS)]).mean() < 0.9
    assert made.centroid_hash == then.centroid_hash
    assert made.offsets is not None


def test_directions_have_no_size_penalty() -> None:
    with pytest.raises(ValidationError, match="metric: euclidean"):
        ClusteringConfig(size_penalty=1.0, metric="cosine")
