"""Near-duplicates left in a version are counted by text where there are texts, by vector where there are none."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from evenkeel.tasks.dedup.config import NearConfig
from evenkeel.tasks.dedup.minhash import similarities, sketches
from evenkeel.tasks.ingest.pool import Pool
from evenkeel.tasks.sample.selection import Selection
from evenkeel.tasks.validate.near import near_duplicates_left, share_similar
from tests.validate.pools import curate

SENTENCE = "the quick brown fox jumps over the lazy dog and runs far away into the deep dark forest number"


def write(folder: Path, texts: list[str] | None, vectors: np.ndarray) -> Path:
    folder.mkdir()
    columns = {"vector": pa.FixedSizeListArray.from_arrays(pa.array(vectors.astype(np.float32).ravel()), 8)}
    pq.write_table(pa.table(columns if texts is None else {"text": texts, **columns}), folder / "a.parquet")
    return folder


@pytest.mark.parametrize("with_text", [True, False])
@pytest.mark.long
def test_planted_near_duplicates_are_found_and_others_are_not(tmp_path: Path, with_text: bool) -> None:
    rng = np.random.default_rng(0)
    centres = np.repeat(np.eye(8)[:4] * 20, 50, axis=0)
    vectors = centres + rng.normal(0, 6, (200, 8))
    texts = [" ".join(str(number) for number in rng.integers(0, 10_000, 12)) for _ in range(200)]
    for i in range(50):
        vectors[i] = vectors[0] + rng.normal(0, 0.01, 8)
        texts[i] = f"{SENTENCE} {i}"
    found = curate(
        tmp_path, write(tmp_path / "shards", texts if with_text else None, vectors), target=200, levels=(4,), groups=[]
    )
    pool = Pool.open(found.done["ingest"])
    rates = near_duplicates_left(found.done["sample"], found.done["embed"], pool, 1000, (0.7, 0.999), found.run)
    assert rates is not None
    rows = np.bincount(Selection.open(found.done["sample"]).table()["leaf"].to_numpy())
    assert (rates * rows[rates.index]).sum() / rows.sum() == pytest.approx(0.25, abs=0.01)


@pytest.mark.parametrize("threshold", [0.4, 0.7, 0.9])
@pytest.mark.long
def test_deduplication_and_the_gate_call_the_same_pairs_near_duplicates(tmp_path: Path, threshold: float) -> None:
    rng = np.random.default_rng(1)
    words = np.array([f"word_{number}" for number in range(500)])
    texts = [" ".join(rng.choice(words, rng.integers(5, 700))) for _ in range(60)]
    for text in list(texts):
        parts = text.split()
        at = rng.choice(len(parts), max(1, int(len(parts) * rng.uniform(0, 0.15))), replace=False)
        texts.append(" ".join("altered" if place in at else part for place, part in enumerate(parts)))
    texts += ["", "日本語の文章です", "日本語の文章です!"]
    both = sketches(pa.chunked_array([texts]), NearConfig(threshold=threshold))
    left, right = np.triu_indices(len(texts), k=1)
    found = np.empty(len(left), np.float32)
    similarities(both, left, both, right, found)
    alike = np.unique(np.concatenate([left[found >= threshold], right[found >= threshold]]))
    assert 0 < len(alike) < len(texts)
    assert share_similar(both, np.arange(len(texts)), threshold) == len(alike) / len(texts)


def test_texts_without_words_have_no_near_duplicates() -> None:
    found = sketches(pa.chunked_array([["", "...", "", "one word"]]), NearConfig())
    assert share_similar(found, np.arange(3), 0.7) == 0
    assert share_similar(found, np.arange(4), 0.7) == 0
