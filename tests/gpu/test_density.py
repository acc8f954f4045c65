"""The kernel density of leaves on a device, here on NumPy's arrays, is that of the CPU; only sums come home."""

import numpy as np
import pytest

from evenkeel.tasks.kmeans.device import density
from evenkeel.tasks.kmeans.options import Device
from evenkeel.tasks.sample.balanced import kernel_density
from evenkeel.tasks.sample.balanced.kernel_density import BANDWIDTHS, kernel_densities
from evenkeel.tasks.sample.quotas.tree import ClusterTree
from tests.gpu.standin import StandIn
from tests.kmeans.mixtures import mixture


def test_densities_on_a_device_are_those_of_the_cpu(device: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(density, "POINTS", 128)
    monkeypatch.setattr(kernel_density, "MAX_LEAVES", 200)
    leaves = mixture(300, 6, 20)
    tree = ClusterTree(np.ones(300, np.int64), centroids=leaves)
    host, there = (kernel_densities(tree, 0, Device(gpu=on_device)) for on_device in (False, True))
    assert list(there) == list(host) == list(BANDWIDTHS)
    for bandwidth in BANDWIDTHS:
        np.testing.assert_allclose(there[bandwidth], host[bandwidth], rtol=2e-3)
    assert device.traffic.up == 500 * 6 * 4
    assert device.traffic.down == len(BANDWIDTHS) * 300 * 4
