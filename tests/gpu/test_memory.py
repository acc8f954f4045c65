"""Little memory on a device: rows stay where they are and nothing changes; with less, an error says what to do."""

from collections.abc import Callable, Iterator

import numpy as np
import pytest

from evenkeel.infra import gpu
from evenkeel.infra.errors import ResourceError
from evenkeel.infra.gpu import Libraries, make_pool
from evenkeel.tasks.kmeans.device import rows as rows_module
from evenkeel.tasks.kmeans.device.opening import open_arrays
from evenkeel.tasks.kmeans.device.rows import prepare_rows
from evenkeel.tasks.kmeans.fit import KMeans, kmeans
from evenkeel.tasks.kmeans.options import Device, Options
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


@pytest.mark.parametrize(("part", "what"), [("seed_plus_plus", "first centroids"), ("lloyd", "to cluster")])
def test_a_part_without_memory_says_so(device: StandIn, monkeypatch: pytest.MonkeyPatch, part: str, what: str) -> None:
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
