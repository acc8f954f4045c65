"""Semantic duplicates on a device, here on NumPy's arrays, are those of the CPU; indices and similarities come home."""

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from evenkeel.infra.compute import Compute
from evenkeel.infra.errors import ResourceError
from evenkeel.infra.workspace import StepRef
from evenkeel.tasks.dedup import cells as cells_module
from evenkeel.tasks.dedup import device_cells, semantic
from evenkeel.tasks.dedup.cells import Cells, make_cells
from evenkeel.tasks.dedup.config import DedupConfig, SemanticConfig
from evenkeel.tasks.dedup.drops import Drops
from evenkeel.tasks.dedup.duplicates import Duplicates
from evenkeel.tasks.dedup.inputs import DedupInputs
from evenkeel.tasks.dedup.prototypes import drop_prototypes
from evenkeel.tasks.dedup.stage import Stage
from evenkeel.tasks.dedup.step import DEDUP
from evenkeel.tasks.embed.embedders.column import ColumnEmbedding
from evenkeel.tasks.embed.inputs import EmbedInputs
from evenkeel.tasks.embed.step import EMBED
from evenkeel.tasks.embed.vectors import Vectors
from evenkeel.tasks.ingest.pool import Pool
from evenkeel.tasks.kmeans.options import CPU, Device
from evenkeel.tasks.step import Run
from tests.dedup.test_semantic import clumps
from tests.embed.pools import make_pool, new_run
from tests.gpu.standin import StandIn

THERE = Device(gpu=True)
ROWS, DIMENSION = 900, 16


class Made(NamedTuple):
    """A pool of clumps with one zero row."""

    run: Run
    pool: StepRef
    embed: StepRef
    folder: Path

    def stage(self, name: str) -> Stage:
        """Return a stage that nothing was dropped before."""
        before, folder = str(self.folder / f"before-{name}"), str(self.folder / name)
        Drops.none().write(before)
        pool, vectors = Pool.open(self.pool), Vectors.open(self.embed)
        return Stage(pool, vectors, None, Duplicates.open(before), folder)

    def cells(self) -> Cells:
        """Return cells that are made here."""
        return make_cells(self.stage("cells"), SemanticConfig(clusters=5), self.run)

    @property
    def on_device(self) -> Run:
        """Return the run with a device in this process."""
        return replace(self.run, compute=Compute(threads=1, backend="gpu", driver_device=True))


@pytest.fixture
def made(tmp_path: Path) -> Made:
    run = new_run(tmp_path)
    points = clumps(ROWS, DIMENSION)
    points[17] = 0
    pool = make_pool(run, tmp_path / "p", {"v": points}, rows_per_block=300)
    return Made(run, pool, EMBED(ColumnEmbedding(), EmbedInputs(ingest=pool), run), tmp_path)


def compare(cells: Cells, device: Device) -> tuple[np.ndarray, ...]:
    return semantic._compare(cells, "random", 0.9, device, (0, len(cells.sizes)))


def check_same(there: tuple[np.ndarray, ...], host: tuple[np.ndarray, ...]) -> None:
    assert len(host[0]) > 100
    assert np.array_equal(there[0], host[0])
    assert np.array_equal(there[1], host[1])
    np.testing.assert_allclose(there[2], host[2], atol=1e-6)


@pytest.mark.parametrize(("block", "kept_block"), [(2048, 8192), (32, 20)])
def test_pairs_on_a_device_are_those_of_the_cpu(
    made: Made, device: StandIn, monkeypatch: pytest.MonkeyPatch, block: int, kept_block: int
) -> None:
    monkeypatch.setattr(device_cells, "ROWS_PER_BLOCK", block)
    monkeypatch.setattr(device_cells, "KEPT_PER_BLOCK", kept_block)
    cells = made.cells()
    there = compare(cells, THERE)
    check_same(there, compare(cells, CPU))
    assert not any(tf32 for _, _, tf32 in device.products)
    blocks = sum(-(-size // block) for size in cells.sizes)
    assert device.traffic.up == sum(cells.sizes) * DIMENSION * 4
    # an index and a similarity for every row; for a block whether rows are left, every round, and how many stay
    assert device.traffic.down - sum(cells.sizes) * 12 <= blocks * 8 + sum(cells.sizes)


def test_kept_rows_that_do_not_fit_are_copied_and_give_the_same_bits(
    made: Made, device: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device_cells, "ROWS_PER_BLOCK", 32)
    monkeypatch.setattr(device_cells, "KEPT_PER_BLOCK", 20)
    cells = made.cells()
    resident, up = compare(cells, THERE), device.traffic.up
    device.memory = device_cells.SPARE_BYTES
    spilled = compare(cells, THERE)
    assert all(one.tobytes() == other.tobytes() for one, other in zip(spilled, resident, strict=True))
    assert device.traffic.up > 2.5 * up


def test_too_little_memory_is_said(made: Made, device: StandIn) -> None:
    cells, device.refuse = made.cells(), 10
    with pytest.raises(ResourceError, match="too little memory to compare rows of a cell") as caught:
        compare(cells, THERE)
    assert "compute: local" in str(caught.value.remedy)


def test_rows_are_placed_on_a_device_as_here(device: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device_cells, "MAX_SCORES", 1000)
    rng = np.random.default_rng(0)
    rows, centroids = rng.standard_normal((500, 8)).astype("f2"), rng.standard_normal((7, 8), np.float32)
    centroids /= np.linalg.norm(centroids, axis=1, keepdims=True)
    rows[[3, 400]] = 0
    there, host = device_cells.place_on_device(rows, centroids), cells_module._place(rows, centroids)
    pointing = host[2]
    assert np.array_equal(there.pointing, pointing)
    assert pointing.sum() == 498
    assert np.array_equal(there.cell[pointing], host[0][pointing])
    np.testing.assert_allclose(there.centrality, host[1], atol=1e-6)
    assert device.traffic.up == rows.nbytes + centroids.nbytes


@pytest.mark.long
def test_the_step_runs_there(made: Made, device: StandIn) -> None:
    """One cell, so that both compare the same rows; the rate is met there too."""
    inputs = DedupInputs(ingest=made.pool, embed=made.embed)
    for settings in ({"epsilon": 0.1, "prototypes": 0.2}, {"rate": 0.3}):
        config = DedupConfig(near=None, semantic=SemanticConfig(clusters=1, keep="closest", **settings))
        there, host = (DEDUP(config, inputs, run) for run in (made.on_device, made.run))
        assert there.key != host.key
        assert there.counts == host.counts
        dropped = [Duplicates.open(ref.uri).dropped() for ref in (there, host)]
        assert dropped[0].drop_columns("similarity").equals(dropped[1].drop_columns("similarity"))
        found, expected = (one["similarity"].to_numpy() for one in dropped)
        np.testing.assert_allclose(found, expected, atol=1e-6)
    assert DEDUP.key(DedupConfig(), inputs, made.on_device) == DEDUP.key(DedupConfig(), inputs, made.run)


@pytest.mark.gpu
def test_pairs_on_hardware_are_those_of_the_cpu(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    cells = made.cells()
    check_same(compare(cells, THERE), compare(cells, CPU))
    for name, value in (("ROWS_PER_BLOCK", 64), ("KEPT_PER_BLOCK", 64)):
        monkeypatch.setattr(device_cells, name, value)
    resident = compare(cells, THERE)
    check_same(resident, compare(cells, CPU))
    monkeypatch.setattr(device_cells, "SPARE_BYTES", 1 << 50)
    spilled = compare(cells, THERE)
    assert all(one.tobytes() == other.tobytes() for one, other in zip(spilled, resident, strict=True))


@pytest.mark.gpu
def test_the_step_on_hardware_gives_the_same_rows_twice(made: Made) -> None:
    config = SemanticConfig(clusters=5, epsilon=0.1, prototypes=0.2)
    found = []
    for name in ("a", "b"):
        drops, facts = semantic.semantic_duplicates(made.stage(name), config, made.on_device)
        prototypes = drop_prototypes(made.stage(f"prototypes-{name}"), config, made.on_device)
        found.append((drops.row_id.tolist(), prototypes.row_id.tolist(), facts))
    assert found[0] == found[1]
    host, _ = semantic.semantic_duplicates(made.stage("host"), config, made.run)
    assert len(found[0][0]) == pytest.approx(len(host.row_id), rel=0.2)  # other cells
