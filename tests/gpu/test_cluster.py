"""k-means on a CUDA device ends where the exact path on the CPU ends, by cuML at once and by cupy in batches."""

import numpy as np
import pytest

from evenkeel.tasks.cluster.config import ClusteringConfig
from evenkeel.tasks.cluster.resample import fit_level
from evenkeel.tasks.kmeans import gpu
from evenkeel.tasks.kmeans.options import Device
from tests.kmeans.mixtures import mixture


@pytest.mark.gpu
@pytest.mark.parametrize("share", [gpu.WHOLE_SHARE, 0.0], ids=["cuML", "batches"])
def test_a_device_gives_what_the_exact_path_gives(share: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "WHOLE_SHARE", share)
    x = mixture(20_000, 64, 400)
    config = ClusteringConfig(precision="exact", resampling=1)
    host, device = (fit_level(x, 100, config, seed=0, device=Device(gpu=on_gpu)) for on_gpu in (False, True))
    assert device.inertia == pytest.approx(host.inertia, rel=0.01)
    assert (device.labels == host.labels).mean() > 0.9
    assert np.isfinite(device.centroids).all()
