"""Tests marked `gpu` need a device; all others run the device loop on NumPy arrays, on any machine."""

import pytest

from evenkeel.infra.compute import gpu_count
from evenkeel.tasks.kmeans.device import opening
from tests.gpu.standin import StandIn


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs a device where there is none."""
    if gpu_count() == 0:
        for item in items:
            if item.get_closest_marker("gpu"):
                item.add_marker(pytest.mark.skip(reason="there is no CUDA device here"))


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> StandIn:
    """NumPy in the device's place, for all that is clustered with Device(gpu=True)."""
    standin = StandIn()
    monkeypatch.setattr(opening, "open_arrays", lambda: standin)
    return standin
