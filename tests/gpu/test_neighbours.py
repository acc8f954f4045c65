"""Nearest neighbours on a device, here on NumPy's arrays, are those of the CPU; places and distances come home."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from evenkeel.flows.around_clustering import compute_signal
from evenkeel.infra.compute import Compute
from evenkeel.tasks.ingest.pool import Pool
from evenkeel.tasks.signal.kinds.neighbour_distance import NeighbourDistance
from evenkeel.tasks.signal.neighbours import device_search
from evenkeel.tasks.signal.neighbours.device_search import nearest_on_device
from evenkeel.tasks.signal.neighbours.search import nearest
from evenkeel.tasks.step import InProcess
from tests.gpu.standin import StandIn
from tests.kmeans.mixtures import mixture
from tests.sample.pools import make_run, write_pool
from tests.signal.values import signal_of


def check(rows: np.ndarray, others: np.ndarray, own: np.ndarray, k: int) -> None:
    there, host = nearest_on_device(rows, others, own, k), nearest(rows, others, own, k)
    assert np.array_equal(there.places, host.places)
    np.testing.assert_allclose(there.squared, host.squared, rtol=1e-5)


def test_neighbours_on_a_device_are_those_of_the_cpu(device: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device_search, "MAX_SCORES", 20_000)
    x = mixture(500, 6, 20) - mixture(500, 6, 20).mean(axis=0)
    own = np.where(np.arange(300) % 3, np.arange(300), -1)
    check(x[:300], x, own, 7)
    traffic = device.traffic
    assert traffic.up == (300 + 500) * 6 * 4 + 200 * 16  # rows, and where they are themselves
    assert traffic.down == 300 * 7 * 8
    assert not any(tf32 for _, _, tf32 in device.products)


def test_fewer_than_asked_for_and_none_at_all(device: StandIn) -> None:
    x = mixture(4, 3, 2)
    check(x, x, np.arange(4), 6)
    check(x, x[:0], np.full(4, -1), 2)


def test_the_signal_is_measured_there(device: StandIn, tmp_path: Path) -> None:
    x = mixture(400, 5, 20)
    done = write_pool(tmp_path, x, levels=[np.zeros(len(x), int)], block_rows=150)
    signal = NeighbourDistance(name="far", k=3, metric="cosine")
    run = replace(make_run(tmp_path), compute=Compute(threads=1, backend="gpu", driver_device=True))
    ref = compute_signal(signal, done, InProcess(run))
    there = Pool.open(done["ingest"], signals={"far": ref}).column("score.far")
    host, other = signal_of(signal, done, tmp_path)
    assert ref.key != other.key
    assert device.products
    np.testing.assert_allclose(there, host, rtol=1e-4)


@pytest.mark.gpu
def test_neighbours_on_hardware_are_those_of_the_cpu() -> None:
    x = mixture(3000, 48, 60)
    x -= x.mean(axis=0)
    check(x[:1000], x, np.arange(1000), 10)
