"""Rows compared with a target on a device, here on NumPy's arrays, weigh what they do on the CPU."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from evenkeel.flows.around_clustering import compute_signal
from evenkeel.infra.compute import Compute
from evenkeel.tasks.embed import device_texts
from evenkeel.tasks.ingest.pool import Pool
from evenkeel.tasks.signal.toward.device_soft import near_on_device
from evenkeel.tasks.signal.toward.device_transport import potential_on_device
from evenkeel.tasks.signal.toward.ngrams import count_ngrams, weigh_texts
from evenkeel.tasks.signal.toward.sinkhorn import potential
from evenkeel.tasks.signal.toward.soft import clusters_around, nearest_around
from evenkeel.tasks.step import InProcess
from tests.gpu.standin import StandIn
from tests.gpu.test_texts import BACKENDS, made_texts
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


def check_clusters(count: int) -> None:
    x, rng = mixture(count + 200, 40, 30), np.random.default_rng(0)
    for k, d in ((200, 40), (5, 33)):
        rows, centroids = np.ascontiguousarray(x[:count, :d]), np.ascontiguousarray(x[count : count + k, :d])
        around, own = clusters_around(centroids), rng.integers(0, k, count).astype(np.int32)
        host = nearest_around(rows, own, centroids, around)
        parts = [(rows[:7], own[:7]), (rows[7:], own[7:])]
        there = list(near_on_device(parts, centroids, around))
        assert np.array_equal(np.concatenate([one.cluster for one in there]), host.cluster)
        np.testing.assert_allclose(np.concatenate([one.apart for one in there]), host.apart, rtol=1e-5)


@pytest.mark.slow
def test_the_clusters_near_rows_are_those_of_the_cpu(device: StandIn) -> None:
    check_clusters(8)
    assert device.traffic.down == 8 * (8 + 5) * 8


@pytest.mark.parametrize("by", ["transport", pytest.param("clusters", marks=pytest.mark.slow)])
def test_the_signal_is_measured_there(device: StandIn, tmp_path: Path, by: str) -> None:
    x = mixture(120, 6, 12)
    np.save(tmp_path / "target.npy", x[:20] + 0.1)
    done = write_pool(tmp_path, x, levels=[np.arange(len(x)) // 10], block_rows=50)
    signal = toward(tmp_path / "target.npy", by=by)
    assert not toward(tmp_path / "target.npy", by="clusters", assign="hard").by_backend()
    run = replace(make_run(tmp_path), compute=Compute(threads=1, backend="gpu", driver_device=True))
    ref = compute_signal(signal, done, InProcess(run))
    there = Pool.open(done["ingest"], signals={"near": ref}).column("score.near")
    host, other = signal_of(signal, done, tmp_path)
    assert ref.key != other.key
    assert device.traffic.up > x.nbytes
    np.testing.assert_allclose(there, host, atol=1e-5 * np.ptp(host), rtol=0)


def check_ngrams(count: int) -> None:
    texts = pa.chunked_array([pa.array(made_texts(count), pa.string()), pa.array(["", None, "漢字 kana und mehr"])])
    ratios = np.random.default_rng(0).normal(size=97)
    assert np.array_equal(count_ngrams(texts, 97), count_ngrams(texts, 97, "gpu"))
    for per_token in (False, True):
        host, there = (weigh_texts(texts, ratios, per_token, backend) for backend in BACKENDS)
        assert there.tobytes() == host.tobytes()
    assert np.isnan(host).sum() > 3


@pytest.mark.slow
def test_weights_by_ngrams_are_those_of_the_cpu(device: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    check_ngrams(60)
    monkeypatch.setattr(device_texts, "LONGEST", 60)
    check_ngrams(60)


@pytest.mark.gpu
def test_rows_on_hardware_weigh_what_they_do_on_the_cpu() -> None:
    check_potential()
    check_ngrams(2000)
    check_clusters(500)
