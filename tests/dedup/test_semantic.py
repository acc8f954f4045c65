"""Semantic duplicates: what a plain reading of SemDeDup gives, in bounded memory, for any number of workers."""

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from evenkeel.infra.workspace import StepRef
from evenkeel.tasks.dedup import cells as cells_module
from evenkeel.tasks.dedup import semantic as semantic_module
from evenkeel.tasks.dedup.cells import make_cells
from evenkeel.tasks.dedup.config import DedupConfig, SemanticConfig
from evenkeel.tasks.dedup.drops import Drops
from evenkeel.tasks.dedup.duplicates import Duplicates
from evenkeel.tasks.dedup.stage import Stage
from evenkeel.tasks.embed.embedders.column import ColumnEmbedding
from evenkeel.tasks.embed.inputs import EmbedInputs
from evenkeel.tasks.embed.step import EMBED
from evenkeel.tasks.embed.vectors import Vectors
from evenkeel.tasks.ingest.pool import Pool
from evenkeel.tasks.kmeans.options import CPU
from evenkeel.tasks.step import Run
from tests.dedup.test_exact import dedup
from tests.embed.pools import make_pool, new_run


def semantic(**settings: object) -> DedupConfig:
    return DedupConfig(near=None, semantic=SemanticConfig(**settings), zero_vectors="keep")


def links(pool: StepRef, duplicates: Duplicates) -> dict[int, int]:
    """Dropped row -> its representative, as positions in the pool."""
    position = {row_id: i for i, row_id in enumerate(Pool.open(pool).row_ids().tolist())}
    dropped = duplicates.dropped()
    return {
        position[row]: position[of]
        for row, of in zip(dropped["row_id"].to_pylist(), dropped["duplicate_of"].to_pylist(), strict=True)
    }


def clumps(rows: int, dimension: int, seed: int = 0) -> np.ndarray:
    """Points around few directions, so that many pairs are similar."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(rows // 8, dimension))
    return (centres[rng.integers(0, len(centres), rows)] + rng.normal(0, 0.25, (rows, dimension))).astype("f4")


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return new_run(tmp_path)


@pytest.mark.parametrize(("block", "kept_block", "in_memory"), [(1024, 8192, 1 << 28), (16, 7, 0)])
def test_one_cell_gives_what_a_plain_loop_gives(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int, kept_block: int, in_memory: int
) -> None:
    for name, value in (("ROWS_PER_BLOCK", block), ("KEPT_PER_BLOCK", kept_block), ("MAX_BYTES_IN_MEMORY", in_memory)):
        monkeypatch.setattr(semantic_module, name, value)
    points, quality = clumps(300, 12), np.random.default_rng(1).random(300)
    pool = make_pool(run, tmp_path / "p", {"v": points, "q": quality}, shards=3, scores=["q"])
    config = semantic(epsilon=0.12, clusters=1).model_copy(update={"best": "q"})
    ref, duplicates = dedup(run, pool, config)

    unit = points / np.linalg.norm(points, axis=1, keepdims=True)
    expected: dict[int, int] = {}
    kept: list[int] = []
    for row in np.argsort(-quality.astype("f4"), kind="stable"):
        scores = unit[kept] @ unit[row]
        if len(kept) and scores.max() >= 0.88:
            expected[int(row)] = kept[int(scores.argmax())]
        else:
            kept.append(int(row))
    assert len(expected) > 50
    assert links(pool, duplicates) == expected
    alike = dict(
        zip(duplicates.dropped()["row_id"].to_pylist(), duplicates.dropped()["similarity"].to_pylist(), strict=True)
    )
    row_ids = Pool.open(pool).row_ids()
    for row, of in expected.items():
        assert alike[int(row_ids[row])] == pytest.approx(unit[row] @ unit[of], abs=1e-5)
    assert ref.counts["kept"] == len(kept)


@pytest.mark.long
def test_workers_and_batches_do_not_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    results = []
    for name, threads, batch in (("a", 1, 1 << 16), ("b", 4, 1)):
        monkeypatch.setattr(cells_module, "ROWS_PER_BATCH", batch)
        run = new_run(tmp_path / name, threads)
        columns = {"id": [f"r{i}" for i in range(900)], "v": clumps(900, 16)}
        pool = make_pool(run, tmp_path / name / "p", columns, shards=3)
        results.append(dedup(run, pool, semantic(epsilon=0.1, clusters=7))[1].dropped())
    assert results[0].num_rows > 100
    assert results[0].equals(results[1])


def test_vectors_moved_a_little_are_found_and_others_stay(run: Run, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    points = rng.normal(size=(2000, 64)).astype("f4")
    moved = points[:200] + rng.normal(0, 0.1, (200, 64)).astype("f4")
    pool = make_pool(run, tmp_path / "p", {"v": np.concatenate([points, moved])})
    ref, duplicates = dedup(run, pool, semantic(epsilon=0.05))
    found = {frozenset(pair) for pair in links(pool, duplicates).items()}
    assert len(found & {frozenset((i, 2000 + i)) for i in range(200)}) >= 190
    assert ref.counts["semantic"] == len(found) <= 200


def test_a_wanted_rate_is_met(run: Run, tmp_path: Path) -> None:
    pool = make_pool(run, tmp_path / "p", {"v": clumps(1000, 16)})
    ref, _ = dedup(run, pool, semantic(rate=0.3))
    assert ref.counts["semantic"] == pytest.approx(300, abs=5)
    assert 0 < ref.facts["semantic"]["epsilon"] < 1


@pytest.mark.parametrize("keep", ["closest", "furthest"])
def test_the_row_kept_is_the_one_asked_for(run: Run, tmp_path: Path, keep: str) -> None:
    angles = np.array([0.0, 0.05, 0.3, 0.35])
    spread = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype("f4")
    pool = make_pool(run, tmp_path / "p", {"v": spread}, shards=1)
    _, duplicates = dedup(run, pool, semantic(epsilon=0.002, clusters=1, keep=keep))
    assert links(pool, duplicates) == ({0: 1, 3: 2} if keep == "closest" else {1: 0, 2: 3})


def test_all_rows_pointing_one_way_leave_one(run: Run, tmp_path: Path) -> None:
    lengths = np.linspace(1, 2, 5000, dtype="f4")
    pool = make_pool(run, tmp_path / "p", {"v": lengths[:, None] * np.ones((1, 8), "f4")}, rows_per_block=2000)
    assert dedup(run, pool, semantic(epsilon=0.01))[0].counts["kept"] == 1


def test_rows_that_point_nowhere_take_no_part(run: Run, tmp_path: Path) -> None:
    words = ["salt pepper onion", "keel mast rudder", "loop array stack"] * 5
    texts = [f"{text} {i % 2}" for i, text in enumerate(words)] + ["...", "???", "!!!"]
    pool = make_pool(run, tmp_path / "p", {"text": texts}, shards=1)
    _, duplicates = dedup(run, pool, semantic(epsilon=0.3))
    odd = Pool.open(pool).row_ids()[-3:]
    assert duplicates.kept(odd).all()
    assert (duplicates.sizes(odd) == 1).all()


def test_prototypes_fall_to_a_kept_row_of_their_cell(run: Run, tmp_path: Path) -> None:
    points = clumps(800, 16)
    pool = make_pool(run, tmp_path / "p", {"v": points})
    plain = dedup(run, pool, semantic(epsilon=0.02, clusters=4))[0].counts["kept"]
    ref, duplicates = dedup(run, pool, semantic(epsilon=0.02, clusters=4, prototypes=0.25))
    assert ref.facts["semantic"]["prototypes"] == int(0.25 * plain)
    assert ref.counts["kept"] == plain - int(0.25 * plain)
    representatives = np.array(duplicates.dropped()["duplicate_of"].to_pylist(), np.uint64)
    assert duplicates.kept(representatives).all()


def test_two_thresholds_at_once_are_refused() -> None:
    with pytest.raises(ValidationError, match="not both"):
        SemanticConfig(epsilon=0.1, rate=0.1)
    again = SemanticConfig.model_validate(SemanticConfig(rate=0.1).model_dump())
    assert again.rate == 0.1


@pytest.mark.long
def test_another_clustering_finds_pairs_that_a_border_parted(run: Run, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    points = rng.normal(size=(3000, 32)).astype("f4")
    moved = points + rng.normal(0, 0.15, points.shape).astype("f4")
    pool = make_pool(run, tmp_path / "p", {"v": np.concatenate([points, moved])}, rows_per_block=2000)
    found = [dedup(run, pool, semantic(epsilon=0.1, clusters=20, passes=n))[0].counts["semantic"] for n in (1, 2, 4)]
    assert found[0] < found[1] < found[2] <= 3000
    assert found[2] > 2900


@pytest.mark.slow
def test_a_giant_cell_takes_the_memory_of_a_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("ROWS_PER_BLOCK", 128), ("KEPT_PER_BLOCK", 512), ("MAX_BYTES_IN_MEMORY", 0)):
        monkeypatch.setattr(semantic_module, name, value)
    peaks = []
    for rows in (1000, 4000):
        run = new_run(tmp_path / str(rows), threads=1)
        points = np.random.default_rng(0).normal(size=(rows, 256)).astype("f4")
        pool = make_pool(run, tmp_path / f"pool-{rows}", {"v": points}, rows_per_block=1000)
        vectors = Vectors.open(EMBED(ColumnEmbedding(), EmbedInputs(ingest=pool), run))
        Drops.none().write(str(tmp_path / "none"))
        before, folder = Duplicates.open(str(tmp_path / "none")), str(tmp_path / f"cells-{rows}")
        cells = make_cells(Stage(Pool.open(pool), vectors, None, before, folder), SemanticConfig(clusters=1), run)
        tracemalloc.start()
        assert len(semantic_module._compare(cells, "random", 0.95, CPU, (0, 1))[0]) == 0
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] - peaks[0] < 3000 * 256  # a quarter of the rows' own bytes; they all stay
