"""Rows whose vector is zero: out with a reason, counted, whatever the metric (ingest refuses zeros in a column)."""

from pathlib import Path

import numpy as np
import pytest

from evenkeel.infra.errors import InputError
from evenkeel.infra.workspace import StepRef
from evenkeel.tasks.cluster.config import ClusteringConfig
from evenkeel.tasks.cluster.hierarchy import Hierarchy
from evenkeel.tasks.cluster.inputs import ClusterInputs
from evenkeel.tasks.cluster.step import CLUSTER
from evenkeel.tasks.dedup.config import DedupConfig, IdList
from evenkeel.tasks.dedup.duplicates import Duplicates
from evenkeel.tasks.dedup.inputs import DedupInputs
from evenkeel.tasks.dedup.lists import dedup_request
from evenkeel.tasks.dedup.step import DEDUP
from evenkeel.tasks.embed.embedders.tfidf_svd import TfidfSvdEmbedding
from evenkeel.tasks.embed.inputs import EmbedInputs
from evenkeel.tasks.embed.step import EMBED
from evenkeel.tasks.embed.vectors import Vectors
from evenkeel.tasks.ingest.pool import Pool
from evenkeel.tasks.step import Run
from tests.embed.pools import make_pool, new_run

METRICS = ("euclidean", "cosine")


def dropped_rows(pool: StepRef, dedup: StepRef) -> dict[int, str]:
    """The kind of every dropped row, by its position in the pool."""
    position = {row_id: at for at, row_id in enumerate(Pool.open(pool).row_ids().tolist())}
    table = Duplicates.open(dedup).dropped()
    return {
        position[row]: kind for row, kind in zip(*(table[name].to_pylist() for name in ("row_id", "kind")), strict=True)
    }


def clustered(run: Run, inputs: dict[str, StepRef], metric: str) -> Hierarchy:
    config = ClusteringConfig.model_validate({"levels": [20, 5], "resampling": 1, "metric": metric})
    return Hierarchy.open(CLUSTER(config, ClusterInputs.of(inputs), run))


@pytest.mark.parametrize("metric", METRICS)
def test_texts_without_a_known_word(tmp_path: Path, metric: str) -> None:
    run = new_run(tmp_path)
    rng = np.random.default_rng(0)
    words = [f"word{number}" for number in range(60)]
    texts = [" ".join(rng.choice(words, 20)) for _ in range(200)]
    for at in (3, 77, 199):
        texts[at] = "?!" * (at + 1)
    pool = make_pool(run, tmp_path / "pool", {"text": texts}, shards=3)
    embed = EMBED(TfidfSvdEmbedding(dimension=16), EmbedInputs(ingest=pool), run)
    vectors = Vectors.open(embed)
    x = np.concatenate([vectors.block(block) for block in vectors.blocks])
    assert np.flatnonzero(~x.any(axis=1)).tolist() == [3, 77, 199]
    dedup = DEDUP(DedupConfig(), DedupInputs(ingest=pool, embed=embed), run)
    assert dropped_rows(pool, dedup) == dict.fromkeys((3, 77, 199), "featureless")
    assert (dedup.counts["featureless"], dedup.counts["kept"]) == (3, 197)
    hierarchy = clustered(run, {"ingest": pool, "embed": embed, "dedup": dedup}, metric)
    assert len(hierarchy.rows()) == 197


@pytest.mark.parametrize("metric", METRICS)
def test_kept_zeros_are_points_of_space_but_have_no_direction(tmp_path: Path, metric: str) -> None:
    run = new_run(tmp_path)
    texts = [*(f"alpha beta gamma{number % 7} delta{number % 5}" for number in range(80)), "?!"]
    pool = make_pool(run, tmp_path / "pool", {"text": texts})
    embed = EMBED(TfidfSvdEmbedding(dimension=8), EmbedInputs(ingest=pool), run)
    dedup = DEDUP(DedupConfig(exact=False, near=None, zero_vectors="keep"), DedupInputs(ingest=pool, embed=embed), run)
    assert dropped_rows(pool, dedup) == {}
    inputs = {"ingest": pool, "embed": embed, "dedup": dedup}
    if metric == "euclidean":
        assert len(clustered(run, inputs, metric).rows()) == 81
        return
    with pytest.raises(InputError, match=r"no direction[\s\S]*zero_vectors"):
        clustered(run, inputs, metric)


@pytest.mark.parametrize("metric", METRICS)
def test_nothing_but_zeros(tmp_path: Path, metric: str) -> None:
    run = new_run(tmp_path)
    texts = ["alpha beta gamma", *(f"{'?' * number}!" for number in range(9))]
    pool = make_pool(run, tmp_path / "pool", {"id": [f"row {at}" for at in range(10)], "text": texts})
    embed = EMBED(TfidfSvdEmbedding(dimension=8), EmbedInputs(ingest=pool), run)
    (tmp_path / "ids.txt").write_text("row 0\n")
    config = DedupConfig(exclude=[IdList(uri=str(tmp_path / "ids.txt"))])
    dedup = DEDUP(dedup_request(config), DedupInputs(ingest=pool, embed=embed), run)
    assert (dedup.counts["featureless"], dedup.counts["excluded"], dedup.counts["kept"]) == (9, 1, 0)
    with pytest.raises(InputError, match=r"nothing to cluster[\s\S]*1 excluded, 9 featureless"):
        clustered(run, {"ingest": pool, "embed": embed, "dedup": dedup}, metric)
