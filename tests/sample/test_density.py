"""Density by joined hashes: nearer to the truth than a single hash, and bounded in the number of blocks."""

import tracemalloc
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from evenkeel.expectations.measures import balance
from evenkeel.infra.compute import Compute
from evenkeel.tasks.sample.candidates import CandidateRows
from evenkeel.tasks.sample.config import SamplingConfig
from evenkeel.tasks.sample.locality import HashFunctions, nearest_distance
from evenkeel.tasks.sample.pool_sample import sample_vectors
from evenkeel.tasks.sample.selection import Selection
from evenkeel.tasks.sample.strategies.density import SAMPLE_ROWS, count_rows
from tests.sample.pools import make_run, sampled, write_pool

NO_CENTRE = np.zeros(6, np.float32)


def nested(rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Ten groups of ten components each in 64 dimensions, Zipf masses; as the pool `nested` of the benchmark."""
    rng = np.random.default_rng(0)
    centres = (rng.normal(0, 4, (10, 1, 64)) + rng.normal(0, 1, (10, 10, 64))).reshape(-1, 64)
    masses = rng.permutation(1 / np.arange(1, 101))
    label = rng.choice(100, rows, p=masses / masses.sum())
    return centres[label] + rng.normal(0, 0.3, (rows, 64)), label


def isotropic(rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Sixty components in 128 dimensions that no clustering of few leaves parts."""
    rng = np.random.default_rng(1)
    masses = 1 / np.arange(1, 61)
    label = rng.choice(60, rows, p=masses / masses.sum())
    return rng.normal(0, 1, (60, 128))[label] + rng.normal(0, 0.6, (rows, 128)), label


@pytest.mark.parametrize(("made", "most"), [pytest.param(nested, 0.35, marks=pytest.mark.slow), (isotropic, 0.7)])
@pytest.mark.long
def test_labels_come_out_more_even_than_a_single_hash_makes_them(made: Any, most: float, tmp_path: Path) -> None:
    vectors, label = made(4000)
    inputs = write_pool(tmp_path / "pool", vectors, levels=[np.arange(4000) % 5], block_rows=2000)
    found = {}
    for name in ("random", "single", "density"):
        options = {"name": "density", "concat": 1} if name == "single" else name
        config = SamplingConfig.model_validate({"strategy": options, "target": 400})
        rows = Selection.open(sampled(config, inputs, make_run(tmp_path))).row_ids().astype(int)
        found[name] = balance(np.bincount(label[rows], minlength=label.max() + 1))["kl_uniform"]
    assert found["density"] <= most * found["random"]
    assert found["density"] <= 0.8 * found["single"]


def test_joined_hashes_collide_with_the_power_of_the_chance_of_one() -> None:
    rng = np.random.default_rng(0)
    one = rng.normal(size=(400, 6)).astype(np.float32)
    step = rng.normal(size=(400, 6))
    other = one + (step / np.linalg.norm(step, axis=1)[:, None]).astype(np.float32)
    met = {}
    for concat in (1, 4):
        hashes = HashFunctions(NO_CENTRE, 64, concat, 1 << 18, 2.0, 3)
        pairs = zip(hashes.of(one), hashes.of(other), strict=True)
        met[concat] = np.mean([(left == right).mean() for left, right in pairs])
    width, normal = 2.0, 0.9544997  # chance of Datar et al. at distance 1: 2 Phi(w) - 1 - 2 (1 - exp(-w^2 / 2)) / ...
    by_formula = normal - 2 / (np.sqrt(2 * np.pi) * width) * (1 - np.exp(-(width**2) / 2))
    assert met[1] == pytest.approx(by_formula, abs=0.02)
    assert met[4] == pytest.approx(by_formula**4, abs=0.02)


def test_sketches_of_parts_add_up_and_the_width_is_the_nearest_distance() -> None:
    vectors = np.random.default_rng(0).normal(size=(50, 6)).astype(np.float32)
    hashes = HashFunctions(NO_CENTRE, 8, 4, 64, 1.0, 0)
    parts = hashes.count_rows(vectors[:20]) + hashes.count_rows(vectors[20:])
    assert (parts == hashes.count_rows(vectors)).all()
    assert (parts.sum(axis=1) == 50).all()
    apart = np.linalg.norm(vectors[:, None] - vectors[None], axis=2) + np.diag(np.full(50, np.inf))
    assert nearest_distance(vectors) == pytest.approx(np.median(apart.min(axis=1)), rel=1e-4)
    assert nearest_distance(np.concatenate([vectors, vectors])) == pytest.approx(nearest_distance(vectors), rel=1e-3)
    assert nearest_distance(np.ones((5, 3), np.float32)) == 0.0
    assert nearest_distance(np.empty((0, 3), np.float32)) == 0.0


@dataclass(frozen=True)
class _Counted:
    rows: int


@dataclass(frozen=True)
class MadeRows(CandidateRows):
    """A pool of many blocks of eight rows that are made when they are read."""

    @classmethod
    def of(cls, blocks: int) -> "MadeRows":
        return cls(_Counted(blocks * 8), "", "", tuple(str(block) for block in range(blocks)))  # type: ignore[arg-type]

    def table(self, block: str, columns: Any = (), places: Any = None) -> pa.Table:
        row_id = np.arange(8, dtype=np.uint64) + np.uint64(8 * int(block))
        return pa.table({"row_id": row_id, "identity": row_id * np.uint64(0x9E3779B97F4A7C15)})

    def vectors(self, block: str, row_ids: np.ndarray) -> np.ndarray:
        made: np.ndarray = np.random.default_rng(int(block)).normal(size=(8, 6)).astype(np.float32)[row_ids % 8]
        return made


@pytest.mark.timeout(1200)
@pytest.mark.parametrize(
    ("blocks", "hashes", "buckets"), [(200, 16, 4096), pytest.param(15_259, 64, 16384, marks=pytest.mark.slow)]
)
def test_sketches_in_memory_are_bounded_in_the_number_of_blocks(blocks: int, hashes: int, buckets: int) -> None:
    rows, functions = MadeRows.of(blocks), HashFunctions(NO_CENTRE, hashes, 6, buckets, 2.0, 0)
    compute = Compute(threads=2)
    tracemalloc.start()
    sketch = count_rows(rows, functions, compute)
    sample = sample_vectors(rows, SAMPLE_ROWS, blocks * 8, 0, compute)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (sketch.sum(axis=1) == 8 * blocks).all()
    assert len(sample) == min(2048, 8 * blocks)
    assert peak < (5 + 2 + np.log2(blocks)) * sketch.nbytes + 2e6, "results that wait, partial sums, and the two added"
    assert peak < 1e9
