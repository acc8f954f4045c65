"""Exact duplicates: the whole pool, the best row kept, every row accounted for."""

from collections import defaultdict
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st

from evenkeel.infra.errors import RecipeError
from evenkeel.infra.workspace import StepRef
from evenkeel.tasks.dedup import exact
from evenkeel.tasks.dedup.config import DedupConfig
from evenkeel.tasks.dedup.duplicates import Duplicates
from evenkeel.tasks.dedup.inputs import DedupInputs
from evenkeel.tasks.dedup.rank import keep_priority
from evenkeel.tasks.dedup.step import DEDUP
from evenkeel.tasks.embed.embedders.column import ColumnEmbedding
from evenkeel.tasks.embed.embedders.tfidf_svd import TfidfSvdEmbedding
from evenkeel.tasks.embed.inputs import EmbedInputs
from evenkeel.tasks.embed.step import EMBED
from evenkeel.tasks.ingest.pool import Pool
from evenkeel.tasks.step import Run
from tests.embed.pools import make_pool, new_run

ONLY_EXACT = DedupConfig(near=None, zero_vectors="keep")


def dedup(run: Run, pool: StepRef, config: DedupConfig = ONLY_EXACT) -> tuple[StepRef, Duplicates]:
    light = TfidfSvdEmbedding(dimension=4, buckets=1 << 10, sample=100)
    embedded = EMBED(light if Pool.open(pool).has_text else ColumnEmbedding(), EmbedInputs(ingest=pool), run)
    ref = DEDUP(config, DedupInputs(ingest=pool, embed=embedded), run)
    return ref, Duplicates.open(ref)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return new_run(tmp_path)


@pytest.mark.parametrize("records", [50, 1 << 24])
def test_of_every_group_the_best_row_is_kept(
    run: Run, tmp_path: Path, records: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exact, "RECORDS_PER_RANGE", records)
    rng = np.random.default_rng(0)
    texts = [f"text number {i}" for i in rng.integers(0, 150, 500)]
    scores = rng.integers(0, 3, 500).astype("f8")
    scores[rng.random(500) < 0.1] = np.nan
    ids = [f"row {i}" for i in range(500)]
    pool = make_pool(run, tmp_path / "p", {"id": ids, "text": texts, "q": scores}, shards=3, scores=["q"])
    ref, duplicates = dedup(run, pool, DedupConfig(near=None, best="q"))

    groups = defaultdict(list)
    for text, score, name, row_id in zip(texts, scores, ids, Pool.open(pool).row_ids().tolist(), strict=True):
        worth = -np.inf if np.isnan(score) else score
        groups[text].append((-worth, xxhash.xxh3_64_intdigest(name.encode()), row_id))
    best_of = {row: min(group)[2] for group in groups.values() for *_, row in group}
    expected = {row: best for row, best in best_of.items() if row != best}
    dropped = duplicates.dropped()
    assert dict(zip(dropped["row_id"].to_pylist(), dropped["duplicate_of"].to_pylist(), strict=True)) == expected
    assert dropped["row_id"].to_pylist() == sorted(expected)
    assert set(dropped["kind"].to_pylist()) == {"exact"}
    sizes = {min(group)[2]: len(group) for group in groups.values()}
    kept = np.array(sorted(sizes), np.uint64)
    np.testing.assert_array_equal(duplicates.sizes(kept), [sizes[int(row)] for row in kept])
    assert ref.counts["kept"] + ref.counts["exact"] == ref.counts["rows"] == 500
    assert ref.facts["largest_group"] == max(sizes.values())


def test_spelling_of_space_and_unicode_does_not_matter_but_words_do(run: Run, tmp_path: Path) -> None:
    texts = ["un caf\u00e9  noir", "un cafe\u0301 noir\n", "un caf\u00e9 noir", "un cafe noir", "un th\u00e9 noir"]
    _, duplicates = dedup(run, make_pool(run, tmp_path / "p", {"text": texts}, shards=1))
    assert duplicates.dropped().num_rows == 2


def test_all_rows_identical_leaves_one(run: Run, tmp_path: Path) -> None:
    ref, duplicates = dedup(run, make_pool(run, tmp_path / "p", {"text": ["same"] * 300}))
    assert (ref.counts["kept"], ref.facts["largest_group"]) == (1, 300)
    assert len(set(duplicates.dropped()["duplicate_of"].to_pylist())) == 1


def test_rows_without_text_are_compared_by_vector(run: Run, tmp_path: Path) -> None:
    points = np.random.default_rng(0).normal(size=(120, 4)).astype("f4")
    points[100:] = points[:20]
    ref, _ = dedup(run, make_pool(run, tmp_path / "p", {"v": points}))
    assert ref.counts["exact"] == 20


def test_nothing_is_dropped_without_duplicates_or_when_switched_off(run: Run, tmp_path: Path) -> None:
    pool = make_pool(run, tmp_path / "p", {"text": [f"text {i}" for i in range(250)]})
    ref, duplicates = dedup(run, pool)
    assert (ref.counts["kept"], duplicates.dropped().num_rows) == (250, 0)
    assert duplicates.kept(Pool.open(pool).row_ids()).all()
    same = make_pool(run, tmp_path / "same", {"text": ["same"] * 10})
    assert dedup(run, same, DedupConfig(exact=False, near=None))[0].counts["kept"] == 10


def test_the_row_kept_survives_other_shards_and_another_order(run: Run, tmp_path: Path) -> None:
    ids, texts = [f"r{i}" for i in range(200)], [f"t{i % 37}" for i in range(200)]
    kept = []
    for shards, order in ((1, slice(None)), (5, slice(None, None, -1))):
        pool = make_pool(run, tmp_path / f"p{shards}", {"id": ids[order], "text": texts[order]}, shards=shards)
        _, duplicates = dedup(run, pool)
        tables = [Pool.open(pool).table(block, ["id", "row_id"]) for block in Pool.open(pool).blocks]
        mask = [duplicates.kept(table["row_id"].to_numpy()) for table in tables]
        kept.append({n for t, m in zip(tables, mask, strict=True) for n in np.array(t["id"].to_pylist())[m].tolist()})
    assert kept[0] == kept[1]


def test_an_unknown_score_is_refused(run: Run, tmp_path: Path) -> None:
    pool = make_pool(run, tmp_path / "p", {"text": ["a", "b"]})
    with pytest.raises(RecipeError, match=r"source\.scores"):
        dedup(run, pool, DedupConfig(near=None, best="quality"))


def test_readers_ask_only_for_a_range(run: Run, tmp_path: Path) -> None:
    pool = make_pool(run, tmp_path / "p", {"text": [f"t{i % 50}" for i in range(300)]}, shards=3)
    ref, duplicates = dedup(run, pool)
    whole = duplicates.kept(Pool.open(pool).row_ids())
    parts = [duplicates.kept(Pool.open(pool).table(b, ["row_id"])["row_id"].to_numpy()) for b in Pool.open(pool).blocks]
    np.testing.assert_array_equal(np.concatenate(parts), whole)
    assert duplicates.kept(np.empty(0, np.uint64)).shape == (0,)
    assert not list(Path(ref.uri).glob("exact/*"))
    assert pq.ParquetFile(f"{ref.uri}/dropped.parquet").schema_arrow.names == [
        "row_id",
        "duplicate_of",
        "kind",
        "similarity",
        "rule",
    ]


@given(st.lists(st.floats(allow_nan=False, width=32), min_size=2, max_size=20))
def test_priority_falls_as_the_score_rises(scores: list[float]) -> None:
    table = pa.table({"score.q": pa.array(scores, pa.float32())})
    worth = keep_priority(table, ["row_id", "identity", "score.q"]).astype(np.int64)
    values = np.array(scores, np.float32)
    np.testing.assert_array_equal(
        np.sign(worth[:, None] - worth), (values > values[:, None]).astype(int) - (values < values[:, None])
    )
