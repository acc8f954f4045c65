"""Rows compared with a target on a device, here on NumPy's arrays, weigh what they do on the CPU."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from evenkeel.flows.around_clustering import compute_signal
from evenkeel.infra.compute import Compute
from evenkeel.tasks.ingest.pool import Pool
from evenkeel.tasks.signal.toward.device_transport import potential_on_device
from evenkeel.tasks.signal.toward.sinkhorn import potential
from evenkeel.tasks.step import InProcess
from tests.gpu.standin import StandIn
from tests.kmeans.mixtures import mixture
from tests.sample.pools import make_run, write_pool
from tests.signal.test_toward import toward
from tests.signal.values import signal_of


def check_potential() -> None:
    x, y = mixture(300, 24, 9) + 20, mixture(40, 24, 9) + 20
    rng = np.random.default_rng(0)
    b, g = rng.dirichlet(np.ones(40)), rng.normal(size=40)
    for epsilon in (0.3, 30.0):
        host = potential(x, y, b, g, epsilon)
        there = potential_on_device([x[:128], x[128:]], y, b, g, epsilon)
        np.testing.assert_allclose(there, host, atol=1e-5 * np.ptp(host), rtol=0)


def test_the_potential_on_a_device_is_that_of_the_cpu(device: StandIn) -> None:
    check_potential()
    assert not any(tf32 for _, _, tf32 in device.products)
    rows, target = 300 * 24 * 4, (40 * 24 + 24 + 40) * 4
    assert device.traffic.up == 2 * (rows + target)
    assert device.traffic.down == 2 * 300 * 4
    assert potential_on_device([], np.ones((2, 3), np.float32), np.ones(2), np.zeros(2), 1.0).shape == (0,)


def test_the_signal_is_measured_there(device: StandIn, tmp_path: Path) -> None:
    x = mixture(500, 6, 12)
    np.save(tmp_path / "target.npy", x[:60] + 0.1)
    done = write_pool(tmp_path, x, levels=[np.zeros(len(x), int)], block_rows=200)
    signal = toward(tmp_path / "target.npy", by="transport")
    run = replace(make_run(tmp_path), compute=Compute(threads=1, backend="gpu", driver_device=True))
    ref = compute_signal(signal, done, InProcess(run))
    there = Pool.open(done["ingest"], signals={"near": ref}).column("score.near")
    host, other = signal_of(signal, done, tmp_path)
    assert ref.key != other.key
    assert device.products
    np.testing.assert_allclose(there, host, atol=1e-5 * np.ptp(host), rtol=0)


@pytest.mark.gpu
def test_the_potential_on_hardware_is_that_of_the_cpu() -> None:
    check_potential()
