"""One k-means over the devices of Dask workers, here NumPy's arrays in the place of each worker's device."""

import copy
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from distributed import Client, LocalCluster, Status, WorkerPlugin

from evenkeel.infra import storage
from evenkeel.infra.compute import Compute
from evenkeel.infra.errors import InputError, ResourceError
from evenkeel.infra.patience import patient_nanny
from evenkeel.infra.pinned import Held, Pinned, WorkersLost, workers_of
from evenkeel.tasks.cluster.config import ClusteringConfig
from evenkeel.tasks.cluster.hierarchy import Hierarchy
from evenkeel.tasks.cluster.inputs import ClusterInputs
from evenkeel.tasks.cluster.resample import fit_rounds, opening_rng, options_of
from evenkeel.tasks.cluster.source import Source
from evenkeel.tasks.cluster.step import CLUSTER
from evenkeel.tasks.cluster.together import Blocks, Piece, WorkerPlaces, devices_together, on_workers, shares_of
from evenkeel.tasks.kmeans.device import opening
from evenkeel.tasks.kmeans.device.part import Place
from evenkeel.tasks.kmeans.device.parts import Places
from evenkeel.tasks.kmeans.device.parts_engine import PartsEngine
from evenkeel.tasks.kmeans.fit import KMeans
from tests.cluster.test_step import prepared
from tests.gpu.parted import Here
from tests.gpu.standin import StandIn
from tests.kmeans.mixtures import mixture

CONFIG = ClusteringConfig(resampling=1, iterations=4)


def stand_in() -> object:
    """Return what puts NumPy in the place of a worker's device, also of one that comes later."""

    def setup(worker: object) -> None:
        device = StandIn()
        setattr(opening, "open_arrays", lambda: device)  # noqa: B010 - what is cached there has another type

    return type("Standing", (WorkerPlugin,), {"name": "standing", "setup": staticmethod(setup)})()


@dataclass(frozen=True)
class Fit:
    """Fits a level on places."""

    k: int

    def __call__(self, places: Places) -> KMeans:
        engine = PartsEngine.open(places, self.k, options_of(CONFIG), opening_rng(0), "tf32")
        return fit_rounds(engine, self.k, CONFIG, 0)


def on_gpus(client: Client, workers: int) -> Compute:
    """Return the compute of workers with a device each, and a driver without one."""
    return Compute("gpus", "gpu", workers, threads=1, start=lambda: client)


@pytest.fixture(scope="module")
def processes() -> Iterator[Client]:
    """Three workers, each a process."""
    with (
        LocalCluster(
            n_workers=3,
            threads_per_worker=1,
            dashboard_address=None,
            silence_logs=50,
            worker_class=patient_nanny(),
        ) as made,
        Client(made) as client,
    ):
        client.register_plugin(stand_in())
        yield client


@pytest.mark.long
def test_workers_in_this_process_find_what_places_find(device: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    x, bad = mixture(400, 5, 40), mixture(60, 3)
    expected = Fit(6)(Here(x, [150], monkeypatch))
    monkeypatch.setattr(opening, "open_arrays", lambda: device)
    monkeypatch.setattr("evenkeel.infra.pinned.LARGE", 64)  # of an index, each worker gets its own alone
    bad[50, 0] = np.nan
    with (
        LocalCluster(n_workers=2, processes=False, dashboard_address=None, silence_logs=50, memory_limit=0) as made,
        Client(made) as client,
    ):
        compute = on_gpus(client, 2)
        found = on_workers(compute, 2, Place, lambda _: np.split(x, [30]), Fit(6))
        assert found.centroids.tobytes() == expected.centroids.tobytes()
        assert np.array_equal(found.labels, expected.labels)
        with pytest.raises(InputError, match="row 50"):
            on_workers(compute, 2, Place, lambda _: np.split(bad, [30]), Fit(4))
        with pytest.raises(ResourceError, match="too few workers"):
            workers_of(client, 5, 0.1)
        pinned = Pinned(client, workers_of(client, 2, 10))
        with pytest.raises(TimeoutError, match="of the work"):
            WorkerPlaces(pinned, _timed_out, [0, 1])
        monkeypatch.setattr("evenkeel.infra.pinned.LOOK_EVERY", 0.05)
        monkeypatch.setattr("evenkeel.infra.pinned.PAUSED", 0.0)
        client.run(_pause)
        with pytest.raises(ResourceError, match="too little memory to go on"):
            pinned.make(len, ["ab", "c"])
        pinned.close()

    def lost(places: object) -> KMeans:
        raise WorkersLost("a worker ended")

    with (
        LocalCluster(n_workers=1, processes=False, dashboard_address=None, silence_logs=50) as made,
        Client(made) as client,
        pytest.raises(ResourceError, match="again and again"),
    ):
        on_workers(on_gpus(client, 1), 1, Place, lambda _: [x], lost)


def _pause(dask_worker: Any) -> None:
    """Have a worker take no more tasks, as one does whose memory is full."""
    dask_worker.status = Status.paused


def _timed_out(item: object) -> Place:
    raise TimeoutError("of the work")


def test_what_a_worker_holds_is_not_copied_and_not_taken_for_one_made_anew() -> None:
    held = Held("one", [1])
    with pytest.raises(TypeError, match="stays there"):
        copy.copy(held)
    with pytest.raises(WorkersLost, match="anew"):
        held.do(len, None, ())


def test_shares_are_alike_and_consecutive_and_read_from_their_blocks(tmp_path: Path) -> None:
    x = mixture(1100, 4, 10)
    _, inputs = prepared(tmp_path, x)
    source = Source.open(ClusterInputs.of(inputs), tmp_path)
    sizes = [source.count(name) for name in source.names]
    assert len(sizes) > 1
    whole = np.concatenate([source.read(name) for name in source.names])
    for workers in (1, 2, 3, 7):
        shares = [Blocks(source, share) for share in shares_of(source.names, sizes, workers)]
        lengths = [share.shape[0] for share in shares]
        assert max(lengths) - min(lengths) <= 1
        assert np.array_equal(np.concatenate([share[0 : share.shape[0]] for share in shares]), whole)
        assert np.array_equal(shares[-1][2:5], whole[1100 - lengths[-1] :][2:5])
        assert shares[0][3:3].shape == (0, 4)
    for workers in (3, 7):
        assert shares_of(["a", "b", "c"], [0, 2, 0], workers) == [(Piece("b", 0, 1),), (Piece("b", 1, 2),)]


def test_several_devices_are_taken_where_one_does_not_suffice_and_all_do() -> None:
    config, shape = ClusteringConfig(memory_gib=1), (3_000_000, 64, 4, 1000)
    taken = [devices_together(*shape, config, Compute(backend="gpu", workers=workers)) for workers in (1, 2, 3, 8)]
    assert taken == [None, None, 3, 3]
    assert devices_together(*shape, config, Compute(backend="cpu", workers=8)) is None
    assert devices_together(1000, *shape[1:], config, Compute(backend="gpu", workers=8)) is None
    assert devices_together(10**9, 768, 4, 10**6, config, Compute(backend="gpu", workers=8)) is None


@pytest.mark.slow
def test_two_and_three_workers_find_the_same_also_when_one_dies(processes: Client, tmp_path: Path) -> None:
    """The whole step: the rows of two blocks around 150 centroids, on two devices, on three, and on those left."""
    run, inputs = prepared(tmp_path, mixture(900, 8, 60))
    config = ClusteringConfig(levels=[150, 12], resampling=1, iterations=5, memory_gib=4e5 / 2**30)
    killed: list[int] = []

    def kill(done: float, message: str) -> None:
        if "round 1, iteration 2" in message and not killed:
            killed.append(next(iter(processes.run(os.getpid).values())))
            os.kill(killed[0], signal.SIGKILL)

    found = {}
    for name, workers, progress in (("two", 2, None), ("three", 3, None), ("killed", 3, kill)):
        compute = on_gpus(processes, workers)
        there = replace(run, workspace=str(tmp_path / name), compute=compute)
        there = there if progress is None else replace(there, progress=progress)
        ref = CLUSTER(config, ClusterInputs.of(inputs), there)
        found[name] = Hierarchy.open(ref)
        rounds = [
            entry["round"] for entry in storage.read_json(storage.join(ref.uri, "log.json")) if "group" not in entry
        ]
        assert max(rounds) == 1, "it was one k-means, and not split"
    assert killed
    assert len({one.centroid_hash for one in found.values()}) == 1
    assert found["two"].rows() == found["three"].rows() == found["killed"].rows()


@pytest.mark.slow
def test_one_worker_may_have_nearly_all_rows(processes: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    x = mixture(700, 6, 100)
    found = on_workers(on_gpus(processes, 3), 3, Place, lambda _: np.split(x, [1, len(x) - 3]), Fit(140))
    expected = Fit(140)(Here(x, [300], monkeypatch))
    assert found.centroids.tobytes() == expected.centroids.tobytes()
    assert np.array_equal(found.labels, expected.labels)
