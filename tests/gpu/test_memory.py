"""Little memory on a device: rows stay where they are and nothing changes; with less, an error says what to do."""

from collections.abc import Callable, Iterator

import numpy as np
import pytest

from evenkeel.infra import gpu
from evenkeel.infra.errors import ResourceError
from evenkeel.infra.gpu import Libraries, make_pool
from evenkeel.tasks.kmeans.device import rows as rows_module
from evenkeel.tasks.kmeans.device.nearest import nearest_on_device
from evenkeel.tasks.kmeans.device.opening import open_arrays
from evenkeel.tasks.kmeans.device.rows import prepare_rows
from evenkeel.tasks.kmeans.fit import KMeans, kmeans
from evenkeel.tasks.kmeans.options import Device, Options
from evenkeel.tasks.kmeans.prepare import Frame
from tests.gpu.standin import StandIn
from tests.kmeans.mixtures import mixture

THERE = Device(gpu=True)


@pytest.fixture
def limit(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int], None]]:
    """Give this process a pool of so many bytes in place of its own, until the test ends."""
    libraries, own = Libraries.load(), gpu.share_pool()

    def to(most: int) -> None:
        pool = make_pool(libraries, most)
        monkeypatch.setattr(gpu, "_pool", lambda: pool)

    yield to
    libraries.rmm.mr.set_current_device_resource(own)


def cluster(x: np.ndarray) -> KMeans:
    return kmeans(x, 300, Options(iterations=4), device=THERE)


def test_any_part_that_finds_no_memory_says_what_to_do(device: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    x = mixture(300, 4, 20)

    def refuse(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr(device, "put", refuse)
    with pytest.raises(ResourceError, match="too little memory for the rows") as caught:
        kmeans(x, 10, device=THERE)
    assert "clustering.memory_gib" in str(caught.value.remedy)
    frame = Frame(np.zeros(4, np.float32), 1.0)
    with pytest.raises(ResourceError, match="to find the nearest centroids"):
        nearest_on_device(x, "euclidean", frame, x[:9], None, "tf32")


@pytest.mark.parametrize(("part", "what"), [("seed_plus_plus", "first centroids"), ("lloyd", "to cluster")])
def test_so_do_seeding_and_fitting(device: StandIn, monkeypatch: pytest.MonkeyPatch, part: str, what: str) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr(f"evenkeel.tasks.kmeans.device.engine.{part}", refuse)
    with pytest.raises(ResourceError, match=what):
        kmeans(mixture(300, 4, 20), 10, device=THERE)


@pytest.mark.gpu
def test_rows_that_do_not_fit_are_streamed_and_give_the_same_bits(
    limit: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """102 MB of rows in a pool of 160 MiB: 60 % of it are less than they take."""
    monkeypatch.setattr(rows_module, "BLOCK_BYTES", 8 << 20)
    x = mixture(100_000, 256, 400)
    resident = cluster(x)
    limit(160 << 20)
    assert prepare_rows(open_arrays(), x, None, "euclidean").x is None
    streamed = cluster(x)
    assert streamed.centroids.tobytes() == resident.centroids.tobytes()
    assert np.array_equal(streamed.labels, resident.labels)
    assert streamed.inertia == resident.inertia


@pytest.mark.gpu
def test_where_even_labels_do_not_fit_an_error_says_what_to_do(limit: Callable[[int], None]) -> None:
    x = mixture(100_000, 64, 400)
    limit(1 << 20)
    with pytest.raises(ResourceError, match="the device has too little memory") as caught:
        cluster(x)
    assert "compute: local" in str(caught.value.remedy)
    assert "clustering.memory_gib" in str(caught.value.remedy)
