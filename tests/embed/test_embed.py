"""The embed step: one vector per row, by the same map for old and new shards, whatever the number of workers."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError

from evenkeel.infra.compute import Compute
from evenkeel.infra.errors import InputError, RecipeError
from evenkeel.infra.workspace import StepRef
from evenkeel.tasks.embed.config import AnyEmbedding
from evenkeel.tasks.embed.embedders.auto import AutoEmbedding
from evenkeel.tasks.embed.embedders.column import ColumnEmbedding
from evenkeel.tasks.embed.embedders.tfidf_svd import TfidfSvdEmbedding
from evenkeel.tasks.embed.inputs import EmbedInputs
from evenkeel.tasks.embed.step import EMBED
from evenkeel.tasks.embed.vectors import Vectors
from evenkeel.tasks.ingest.pool import Pool
from evenkeel.tasks.step import Run
from tests.embed.pools import make_pool, new_run

TOPICS = {
    "cook": ["salt", "pepper", "onion", "butter", "oven", "simmer", "garlic", "recipe", "pan", "boil"],
    "sail": ["keel", "mast", "rudder", "anchor", "harbour", "tide", "hull", "rope", "wind", "sheet"],
    "code": ["function", "array", "loop", "pointer", "compiler", "thread", "cache", "stack", "bug", "test"],
}


def texts_about(topics: list[str], seed: int) -> list[str]:
    rng = np.random.default_rng(seed)
    return [" ".join(rng.choice(TOPICS[topic], 12)) for topic in topics]


def all_vectors(ref: StepRef) -> np.ndarray:
    vectors = Vectors.open(ref)
    return np.concatenate([vectors.block(block) for block in vectors.blocks])


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return new_run(tmp_path)


@pytest.fixture
def labels() -> list[str]:
    return list(np.random.default_rng(1).choice(list(TOPICS), 450))


@pytest.fixture
def texts(run: Run, tmp_path: Path, labels: list[str]) -> StepRef:
    return make_pool(run, tmp_path / "texts", {"id": [f"r{i}" for i in range(450)], "text": texts_about(labels, 2)})


@pytest.fixture
def points(run: Run, tmp_path: Path) -> StepRef:
    rng = np.random.default_rng(3)
    return make_pool(run, tmp_path / "points", {"v": (rng.normal(5, 1, (250, 8)) * np.arange(1, 9)).astype("f4")})


def test_auto_takes_vectors_where_there_are_some_and_copies_nothing(run: Run, points: StepRef) -> None:
    ref = EMBED(AutoEmbedding(), EmbedInputs(ingest=points), run)
    pool, vectors = Pool.open(points), Vectors.open(ref)
    assert (ref.facts["method"], vectors.dimension, vectors.dtype) == ("column", 8, np.dtype(np.float32))
    assert not list(Path(ref.uri).glob("vectors/*"))
    for block in pool.blocks:
        np.testing.assert_array_equal(vectors.block(block.name), pool.vectors(block))


def test_auto_reads_texts_where_there_are_no_vectors(run: Run, texts: StepRef, labels: list[str]) -> None:
    ref = EMBED(AutoEmbedding(), EmbedInputs(ingest=texts), run)
    vectors, pool = Vectors.open(ref), Pool.open(texts)
    assert [(block.name, block.rows) for block in vectors.blocks] == [(b.name, b.rows) for b in pool.blocks]
    assert (ref.facts["method"], vectors.dimension, vectors.dtype) == ("tfidf-svd", 192, np.dtype(np.float16))
    rows = all_vectors(ref).astype(np.float32)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=2e-3)
    near = np.array(labels)[(rows @ rows.T - 2 * np.eye(len(rows))).argmax(axis=1)]
    assert (near == labels).mean() > 0.99


def test_the_map_is_the_same_for_any_number_of_workers(run: Run, texts: StepRef, tmp_path: Path) -> None:
    config = TfidfSvdEmbedding(dimension=16, sample=100, center=True)
    one = EMBED(config, EmbedInputs(ingest=texts), run)
    alone = Run(str(tmp_path / "other"), "pool", tmp_path / "other-scratch", Compute(threads=1))
    two = EMBED(config, EmbedInputs(ingest=texts), alone)
    np.testing.assert_array_equal(all_vectors(one), all_vectors(two))


def test_new_shards_go_through_the_fitted_map(run: Run, texts: StepRef, tmp_path: Path, labels: list[str]) -> None:
    config = TfidfSvdEmbedding(dimension=16, components=8, whiten=True, dtype="float32")
    old = EMBED(config, EmbedInputs(ingest=texts), run)
    same, new = texts_about(labels, 2)[:60], ["salt and garlic"] * 60
    pool = make_pool(run, tmp_path / "new", {"id": [f"n{i}" for i in range(120)], "text": [*same, *new]})
    fresh = EMBED(config.model_copy(update={"fitted": old.uri}), EmbedInputs(ingest=pool), run)
    np.testing.assert_allclose(all_vectors(fresh)[:60], all_vectors(old)[:60], atol=1e-5)


def test_finished_blocks_are_kept_when_a_killed_run_goes_on(run: Run, texts: StepRef) -> None:
    config = TfidfSvdEmbedding(dimension=16)
    folder = EMBED.folder(config, EmbedInputs(texts), run)
    EMBED.function(config, EmbedInputs(texts), folder, run)
    paths = sorted(Path(folder.uri, "vectors").glob("*.npy"))
    before = {path: path.read_bytes() for path in paths}
    paths[0].unlink()
    untouched = {path: path.stat().st_mtime_ns for path in paths[1:]}
    EMBED(config, EmbedInputs(ingest=texts), run)
    assert {path: path.read_bytes() for path in paths} == before
    assert {path: path.stat().st_mtime_ns for path in paths[1:]} == untouched


def test_a_text_without_a_known_word_is_a_counted_zero_row(run: Run, tmp_path: Path, labels: list[str]) -> None:
    pool = make_pool(run, tmp_path / "odd", {"text": [*texts_about(labels, 2)[:50], "...", "zzyzx"]})
    ref = EMBED(TfidfSvdEmbedding(dimension=8), EmbedInputs(ingest=pool), run)
    assert ref.counts == {"rows": 52, "zero": 1}
    assert np.flatnonzero(~all_vectors(ref).any(axis=1)).tolist() == [50]
    part = EMBED(TfidfSvdEmbedding(dimension=8, sample=20), EmbedInputs(ingest=pool), run)
    assert part.counts["zero"] == 2


def test_texts_that_share_no_word_lie_apart_in_a_pool_that_is_sampled_whole(run: Run, tmp_path: Path) -> None:
    texts = [
        *texts_about(["cook", "sail"] * 20, 2),
        *(f"{'wxyzvq'[n] * (n + 2)} {'jkuoie'[n] * (n + 3)}" for n in range(6)),
    ]
    pool = make_pool(run, tmp_path / "rare", {"text": texts})
    ref = EMBED(TfidfSvdEmbedding(dimension=64), EmbedInputs(ingest=pool), run)
    vectors = all_vectors(ref).astype(np.float64)
    assert ref.counts["zero"] == 0
    alone, others = vectors[40:], vectors[:40]
    assert np.linalg.norm(alone, axis=1) == pytest.approx(1, abs=0.01)
    assert np.abs(alone @ others.T).max() < 0.6
    assert np.abs(alone @ alone.T - np.eye(6)).max() < 0.6


def test_one_row_is_enough(run: Run, tmp_path: Path) -> None:
    pool = make_pool(run, tmp_path / "one", {"text": ["a single row"]}, shards=1)
    assert all_vectors(EMBED(TfidfSvdEmbedding(), EmbedInputs(ingest=pool), run)).shape == (1, 192)


def test_whitening_leaves_unit_variances_and_no_mean(run: Run, points: StepRef) -> None:
    ref = EMBED(ColumnEmbedding(whiten=True, components=5, center=True), EmbedInputs(ingest=points), run)
    rows = all_vectors(ref)
    assert rows.shape == (250, 5)
    np.testing.assert_allclose(np.cov(rows.T), np.eye(5), atol=1e-2)
    np.testing.assert_allclose(rows.mean(axis=0), 0, atol=1e-4)


@pytest.mark.parametrize(
    ("config", "source", "error", "says"),
    [
        (ColumnEmbedding(), "texts", InputError, "needs vectors"),
        (TfidfSvdEmbedding(), "points", InputError, "needs texts"),
        (ColumnEmbedding(components=9), "points", RecipeError, "at most 8"),
        (ColumnEmbedding(center=True, fitted="nowhere"), "points", InputError, "no fitted map"),
    ],
)
def test_what_cannot_be_embedded_is_refused(
    run: Run, request: pytest.FixtureRequest, config: Any, source: str, error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        EMBED(config, EmbedInputs(ingest=request.getfixturevalue(source)), run)


def test_the_method_of_a_recipe_may_be_left_out_or_named() -> None:
    adapter: TypeAdapter[Any] = TypeAdapter(AnyEmbedding)
    assert adapter.validate_python({}) == AutoEmbedding()
    assert adapter.validate_python({"method": "tfidf-svd", "dimension": 64}) == TfidfSvdEmbedding(dimension=64)
    with pytest.raises(ValidationError, match="tfidf-svd"):
        adapter.validate_python({"method": "tfidf"})
    schema = adapter.json_schema()
    assert "anyOf" in schema
    assert "discriminator" not in schema
