"""Exclusion lists: rows that must not be in the dataset are out, whatever the list, and say why."""

import gzip
import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from evenkeel.infra.errors import InputError
from evenkeel.infra.workspace import StepRef
from evenkeel.tasks.dedup.config import DedupConfig, IdList, NearConfig, NgramList, TextList, VectorList
from evenkeel.tasks.dedup.duplicates import Duplicates
from evenkeel.tasks.dedup.inputs import DedupInputs
from evenkeel.tasks.dedup.lists import dedup_request
from evenkeel.tasks.dedup.step import DEDUP
from evenkeel.tasks.embed.embedders.column import ColumnEmbedding
from evenkeel.tasks.embed.embedders.tfidf_svd import TfidfSvdEmbedding
from evenkeel.tasks.embed.inputs import EmbedInputs
from evenkeel.tasks.embed.step import EMBED
from evenkeel.tasks.ingest.pool import Pool
from evenkeel.tasks.step import Run
from tests.embed.pools import make_pool, new_run

WORDS = [f"word{i}" for i in range(400)]
IDS = [f"row {i}" for i in range(120)]


def sentence(seed: int, words: int = 40) -> str:
    return " ".join(np.random.default_rng(seed).choice(WORDS, words))


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return new_run(tmp_path)


@pytest.fixture
def texts() -> list[str]:
    return [sentence(i) for i in range(120)]


@pytest.fixture
def pool(run: Run, tmp_path: Path, texts: list[str]) -> StepRef:
    return make_pool(run, tmp_path / "pool", {"id": IDS, "text": texts}, shards=3)


def excluded(run: Run, pool: StepRef, *lists: object) -> tuple[StepRef, set[int]]:
    """The positions of the rows that lists exclude; nothing else is dropped."""
    embedding = TfidfSvdEmbedding(dimension=64) if Pool.open(pool).has_text else ColumnEmbedding()
    inputs = {"ingest": pool, "embed": EMBED(embedding, EmbedInputs(ingest=pool), run)}
    ref = DEDUP(dedup_request(DedupConfig(exact=False, near=None, exclude=list(lists))), DedupInputs.of(inputs), run)
    position = {row_id: i for i, row_id in enumerate(Pool.open(pool).row_ids().tolist())}
    dropped = Duplicates.open(ref).dropped()
    assert set(dropped["kind"].to_pylist()) <= {"excluded"}
    assert dropped["row_id"].equals(dropped["duplicate_of"])
    assert ref.counts["kept"] + ref.counts["excluded"] == ref.counts["rows"]
    return ref, {position[row] for row in dropped["row_id"].to_pylist()}


def test_ids_of_every_kind_of_list(run: Run, pool: StepRef, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("row 3\nrow 4\n\nunknown\n")
    pq.write_table(pa.table({"id": ["row 50"], "why": ["asked"]}), tmp_path / "b.parquet")
    with gzip.open(tmp_path / "c.jsonl.gz", "wt") as stream:
        stream.write(json.dumps({"key": "row 60"}) + "\n")
    takedowns = tmp_path / "takedowns"
    takedowns.mkdir()
    (takedowns / "1.json").write_text(json.dumps({"ids": ["row 70", "row 71"], "reason": "", "created": ""}))
    ref, rows = excluded(
        run,
        pool,
        IdList(uri=[str(tmp_path / "a.txt"), str(tmp_path / "b.parquet")]),
        IdList(uri=str(tmp_path / "c.jsonl.gz"), column="key"),
        IdList(uri=str(takedowns)),
    )
    assert rows == {3, 4, 50, 60, 70, 71}
    assert [one["rows"] for one in ref.facts["excluded"]] == [3, 1, 2]
    assert [one["equal"] for one in ref.facts["excluded"]] == [3, 1, 2]


def test_equal_and_similar_texts(run: Run, pool: StepRef, texts: list[str], tmp_path: Path) -> None:
    changed = texts[20].split()
    changed[5] = "other"
    listed = [texts[7], f"  {texts[8]}\n", " ".join(changed), texts[30].upper(), sentence(999), "...", ""]
    pq.write_table(pa.table({"text": listed}), tmp_path / "old.parquet")
    old = str(tmp_path / "old.parquet")
    assert excluded(run, pool, TextList(uri=old, near=None))[1] == {7, 8}
    ref, rows = excluded(run, pool, TextList(uri=old, near=NearConfig(threshold=0.7, recall=0.999)))
    assert rows == {7, 8, 20, 30}
    found = pq.read_table(f"{ref.uri}/excluded.parquet").to_pydict()
    assert sorted(round(alike, 2) for alike in found["similarity"]) == [0.85, 1.0, 1.0, 1.0]
    assert set(found["by"]) == {"texts"}


def test_shared_ngrams(run: Run, pool: StepRef, texts: list[str], tmp_path: Path) -> None:
    inside, too_short = " ".join(texts[11].split()[10:25]), " ".join(texts[12].split()[10:22])
    whole, tiny = " ".join(texts[13].split()[:9]), " ".join(texts[14].split()[:5])
    lines = [f"Q: {inside.upper()}? yes", f"{too_short} {sentence(555)}", whole, tiny]
    (tmp_path / "bench.txt").write_text("\n".join(lines))
    bench = str(tmp_path / "bench.txt")
    assert excluded(run, pool, NgramList(uri=bench))[1] == {11, 13}
    assert excluded(run, pool, NgramList(uri=bench, words=12, min_shared=2))[1] == {11}
    assert excluded(run, pool, NgramList(uri=bench, words=12))[1] == {11, 12, 13}


def test_texts_embedded_as_the_pool_was(run: Run, pool: StepRef, texts: list[str], tmp_path: Path) -> None:
    shuffled = " ".join(np.random.default_rng(0).permutation(texts[40].split()[1:]))
    pq.write_table(pa.table({"q": [shuffled]}), tmp_path / "bench.parquet")
    listed = VectorList(uri=str(tmp_path / "bench.parquet"), text="q", similarity=0.6)
    assert excluded(run, pool, listed)[1] == {40}


def test_vectors_beside_vectors(run: Run, tmp_path: Path) -> None:
    points = np.random.default_rng(0).normal(size=(300, 16)).astype("f4")
    pool = make_pool(run, tmp_path / "points", {"v": points})
    np.save(tmp_path / "bench.npy", 3 * points[[5, 250]] + 0.05)
    assert excluded(run, pool, VectorList(uri=str(tmp_path / "bench.npy")))[1] == {5, 250}
    np.save(tmp_path / "other.npy", points[:, :7])
    with pytest.raises(InputError, match="16 dimensions"):
        excluded(run, pool, VectorList(uri=str(tmp_path / "other.npy")))
    (tmp_path / "q.txt").write_text("a text\n")
    with pytest.raises(InputError, match="came with the source"):
        excluded(run, pool, VectorList(uri=str(tmp_path / "q.txt"), text="text"))
    with pytest.raises(InputError, match="needs texts"):
        excluded(run, pool, NgramList(uri=str(tmp_path / "q.txt")))


def test_texts_in_many_files_exclude_as_in_one(run: Run, pool: StepRef, tmp_path: Path, texts: list[str]) -> None:
    listed = [texts[7], f"{texts[9]} changed", sentence(999), texts[30], "short"]
    found = []
    for name, cuts in (("one", [5]), ("many", [1, 2, 2, 5])):
        (tmp_path / name).mkdir()
        for number, (start, end) in enumerate(pairwise([0, *cuts])):
            (tmp_path / name / f"{number}.txt").write_text("\n".join(listed[start:end]) + "\n")
        ref, rows = excluded(run, pool, TextList(uri=str(tmp_path / name / "*.txt")))
        found.append((rows, ref.facts["excluded"][0]["equal"]))
    assert found == [({7, 9, 30}, 2)] * 2


def test_vectors_of_a_list_go_through_the_map_of_the_pool(run: Run, tmp_path: Path) -> None:
    points = np.random.default_rng(0).normal(3, 1, size=(300, 8)).astype("f4")
    pool = make_pool(run, tmp_path / "points", {"v": points})
    np.save(tmp_path / "bench.npy", points[[5, 250]])
    listed = DedupConfig(exact=False, exclude=[VectorList(uri=str(tmp_path / "bench.npy"), similarity=0.9999)])
    embed = EMBED(ColumnEmbedding(center=True, components=4), EmbedInputs(ingest=pool), run)
    ref = DEDUP(dedup_request(listed), DedupInputs.of({"ingest": pool, "embed": embed}), run)
    gone = Duplicates.open(ref).dropped()["row_id"].to_pylist()
    assert gone == Pool.open(pool).row_ids()[[5, 250]].tolist()


def test_a_changed_list_is_a_changed_question(run: Run, pool: StepRef, tmp_path: Path) -> None:
    path = tmp_path / "ids.txt"
    path.write_text("row 1\n")
    first = excluded(run, pool, IdList(uri=str(path)))
    assert excluded(run, pool, IdList(uri=str(path)))[0].key == first[0].key
    path.write_text("row 1\nrow 2\n")
    second = excluded(run, pool, IdList(uri=str(path)))
    assert (first[1], second[1]) == ({1}, {1, 2})


def test_takedowns_join_the_lists_only_where_there_are_some(tmp_path: Path) -> None:
    assert dedup_request(DedupConfig(), str(tmp_path / "none")).exclude == []
    (tmp_path / "some").mkdir()
    (tmp_path / "some" / "x.json").write_text('{"ids": ["a"]}')
    assert [one.by for one in dedup_request(DedupConfig(), str(tmp_path / "some")).exclude] == ["ids"]


def test_a_row_that_stood_for_others_leaves_them_another(run: Run, tmp_path: Path) -> None:
    texts = [sentence(1)] * 5 + [sentence(2)]
    pool = make_pool(run, tmp_path / "p", {"id": IDS[:6], "text": texts}, shards=1)
    inputs = {"ingest": pool, "embed": EMBED(TfidfSvdEmbedding(dimension=2), EmbedInputs(ingest=pool), run)}
    plain = Duplicates.open(DEDUP(DedupConfig(), DedupInputs.of(inputs), run)).dropped()
    best = set(plain["duplicate_of"].to_pylist()).pop()
    (tmp_path / "ids.txt").write_text(IDS[best])
    config = DedupConfig(exclude=[IdList(uri=str(tmp_path / "ids.txt"))])
    ref = DEDUP(dedup_request(config), DedupInputs.of(inputs), run)
    assert ref.counts == {
        "rows": 6,
        "kept": 2,
        "filtered": 0,
        "exact": 3,
        "near": 0,
        "semantic": 0,
        "excluded": 1,
        "unreadable": 0,
        "featureless": 0,
    }
    assert best not in Duplicates.open(ref).groups()["row_id"].to_pylist()


@pytest.mark.parametrize(
    ("listed", "says"),
    [(IdList(uri="nowhere.txt"), "not there"), (IdList(uri="{folder}/x.csv", column="key"), "no column 'key'")],
)
def test_a_list_that_cannot_be_read_is_an_error(
    run: Run, pool: StepRef, tmp_path: Path, listed: IdList, says: str
) -> None:
    (tmp_path / "x.csv").write_text("id\nrow 1\n")
    listed = listed.model_copy(update={"uri": str(listed.uri).replace("{folder}", str(tmp_path))})
    with pytest.raises(InputError, match=says):
        excluded(run, pool, listed)
