"""Near-duplicates left in a version are counted by text where there are texts, by vector where there are none."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from evenkeel.tasks.ingest.pool import Pool
from evenkeel.tasks.validate.near import near_duplicates_left, shingles_of
from tests.validate.pools import curate

SENTENCE = "the quick brown fox jumps over the lazy dog and runs far away into the deep dark forest number"


def write(folder: Path, texts: list[str] | None, vectors: np.ndarray) -> Path:
    folder.mkdir()
    columns = {"vector": pa.FixedSizeListArray.from_arrays(pa.array(vectors.astype(np.float32).ravel()), 8)}
    pq.write_table(pa.table(columns if texts is None else {"text": texts, **columns}), folder / "a.parquet")
    return folder


@pytest.mark.parametrize("with_text", [True, False])
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
    rates = near_duplicates_left(found.done, pool, str(tmp_path), 1000, 0.7, 0.999)
    assert rates is not None
    from evenkeel.tasks.sample.selection import Selection

    rows = np.bincount(Selection.open(found.done["sample"]).table()["leaf"].to_numpy())
    assert (rates * rows[rates.index]).sum() / rows.sum() == pytest.approx(0.25, abs=0.01)


def test_short_and_empty_texts_have_one_run() -> None:
    assert len(shingles_of("")) == len(shingles_of("two words")) == len(shingles_of("just three words")) == 1
    assert (shingles_of("One, TWO three!") == shingles_of("one two three")).all()
