"""Assigning new rows to finished clusters, and telling a pool that has drifted from one that has not."""

from pathlib import Path

import numpy as np
import pytest

from evenkeel.infra.workspace import StepRef
from evenkeel.tasks.cluster.assign import ASSIGN
from evenkeel.tasks.cluster.config import AssignConfig, ClusteringConfig
from evenkeel.tasks.cluster.drift import Drift
from evenkeel.tasks.cluster.hierarchy import Hierarchy
from evenkeel.tasks.cluster.inputs import AssignInputs, ClusterInputs
from evenkeel.tasks.cluster.step import CLUSTER
from evenkeel.tasks.dedup.config import DedupConfig
from evenkeel.tasks.dedup.inputs import DedupInputs
from evenkeel.tasks.dedup.step import DEDUP
from evenkeel.tasks.embed.embedders.column import ColumnEmbedding
from evenkeel.tasks.embed.inputs import EmbedInputs
from evenkeel.tasks.embed.step import EMBED
from evenkeel.tasks.ingest.config import SourceConfig
from evenkeel.tasks.ingest.source import ingest_request
from evenkeel.tasks.ingest.step import INGEST
from evenkeel.tasks.inputs import NoInputs
from evenkeel.tasks.step import Run
from tests.cluster.test_step import check
from tests.embed.pools import new_run
from tests.ingest.pools import write
from tests.kmeans.mixtures import mixture

EVERY = mixture(20_000, 16, seed=1)
ROWS, MORE = EVERY[:4000], EVERY[4000:]


def pool(run: Run, folder: Path, *parts: np.ndarray) -> dict[str, StepRef]:
    """Ingest, embed and deduplicate matrices, one per shard."""
    for number, part in enumerate(parts):
        write(folder / f"{number}.parquet", {"id": [f"{number}-{row}" for row in range(len(part))], "v": part.tolist()})
    done = {"ingest": INGEST(ingest_request(SourceConfig(uri=str(folder), rows_per_block=900)), NoInputs(), run)}
    done["embed"] = EMBED(ColumnEmbedding(), EmbedInputs.of(done), run)
    done["dedup"] = DEDUP(DedupConfig(near=None), DedupInputs.of(done), run)
    return done


def assigned(folder: Path, before: list[np.ndarray], now: list[np.ndarray]) -> tuple[Hierarchy, Hierarchy, Drift]:
    """Cluster some shards, then assign the rows of others to those clusters."""
    run = new_run(folder)
    first = pool(run, folder / "before", *before)
    base = CLUSTER(ClusteringConfig(levels=[120, 12]), ClusterInputs.of(first), run)
    ref = ASSIGN(
        AssignConfig(),
        AssignInputs.of(pool(run, folder / "now", *now) | {"base": base, "base_ingest": first["ingest"]}),
        run,
    )
    return Hierarchy.open(base), Hierarchy.open(ref), Drift.model_validate(ref.facts["drift"])


@pytest.mark.long
def test_old_rows_keep_their_leaf_and_new_ones_take_the_nearest(tmp_path: Path) -> None:
    new = MORE[:500]
    base, grown, drift = assigned(tmp_path, [ROWS[:2500], ROWS[2500:]], [ROWS[:2500], ROWS[2500:], new])
    assert grown.centroid_hash == base.centroid_hash
    assert grown.rows().slice(0, len(ROWS)).equals(base.rows())
    check(grown, np.concatenate([ROWS, new]), settled=0)
    assert grown.levels[-1].counts.sum() == len(ROWS) + len(new)
    assert (drift.new, drift.kept) == (500, 1.0)
    assert drift.drift < 0.1
    assert drift.reason(4500, 0.25) is None


@pytest.mark.long
def test_rows_that_left_are_not_counted(tmp_path: Path) -> None:
    base, left, drift = assigned(tmp_path, [ROWS[:2500], ROWS[2500:]], [ROWS[:2500]])
    assert left.leaves == base.leaves
    sizes = np.bincount(left.rows()["leaf"].to_numpy(), minlength=left.leaves)
    assert np.array_equal(sizes, left.levels[0].counts)
    assert [level.counts.sum() for level in left.levels] == [2500, 2500]
    assert (drift.new, drift.kept) == (0, 2500 / 4000)


@pytest.mark.parametrize(
    ("share", "least", "most"), [pytest.param(1.0, 0.8, 1.0, marks=pytest.mark.slow), (0.5, 0.4, 0.6), (0.0, 0.0, 0.1)]
)
@pytest.mark.long
def test_drift_is_the_share_of_new_rows_that_are_strange(
    tmp_path: Path, share: float, least: float, most: float
) -> None:
    strange = mixture(int(400 * share), 16, seed=3) + np.float32(4)
    new = np.concatenate([strange, MORE[: 400 - len(strange)]])
    _, _, drift = assigned(tmp_path, [ROWS], [ROWS, new])
    assert least <= drift.drift <= most


@pytest.mark.long
def test_sizes_that_shift_are_drift(tmp_path: Path) -> None:
    far = np.linalg.norm(MORE - EVERY.mean(axis=0), axis=1)
    _, _, drift = assigned(tmp_path, [ROWS], [ROWS, MORE[np.argsort(-far)[:3000]]])
    assert drift.psi > 0.1


@pytest.mark.parametrize(
    ("new", "kept", "drift", "told"),
    [(10, 1.0, 0.1, None), (10, 1.0, 0.3, "over the limit"), (60, 1.0, 0.0, "more than half"), (0, 0.4, 0.0, "40%")],
)
def test_a_reason_to_cluster_anew(new: int, kept: float, drift: float, told: str | None) -> None:
    found = Drift(new=new, kept=kept, usual_distance=1, by="pool", far=0, far_before=0, psi=0, level=1, drift=drift)
    reason = found.reason(100, 0.25)
    assert reason is None if told is None else reason is not None and told in reason


def test_drift_measured_under_an_earlier_name_is_still_read() -> None:
    known = {"new": 1, "kept": 1.0, "by": "pool", "far": 0, "far_before": 0, "psi": 0, "level": 1, "drift": 0}
    assert Drift.model_validate({**known, "reach": 2.5}) == Drift.model_validate({**known, "usual_distance": 2.5})
