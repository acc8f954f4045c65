"""k-means on a CUDA device: not worse than on the CPU or than cuML, the same bits twice, kernels as they should be."""

import numpy as np
import pytest

from evenkeel.tasks.cluster.config import ClusteringConfig
from evenkeel.tasks.cluster.resample import fit_level
from evenkeel.tasks.kmeans.device.opening import open_arrays
from evenkeel.tasks.kmeans.device.ranking import Compared, Ranked, centroids_of, rank_block
from evenkeel.tasks.kmeans.device.rows import quartic_norms
from evenkeel.tasks.kmeans.fit import KMeans
from evenkeel.tasks.kmeans.options import Device, Products
from tests.gpu import reference
from tests.kmeans.mixtures import mixture

pytestmark = pytest.mark.gpu


def on_device(x: np.ndarray, k: int, products: Products = "tf32") -> KMeans:
    return fit_level(x, k, ClusteringConfig(resampling=1), seed=0, device=Device(gpu=True, products=products))


@pytest.mark.parametrize("k", [100, 400])
def test_a_device_is_not_worse_than_the_cpu(k: int) -> None:
    """Over some seeds: at 100 clusters both paths are exact, and a seed alone can make one 3 % worse."""
    x, config = mixture(20_000, 64, 400), ClusteringConfig(resampling=1)
    pairs = [
        [fit_level(x, k, config, seed=seed, device=device) for device in (Device(), Device(gpu=True))]
        for seed in range(4)
    ]
    ratios = [there.inertia / host.inertia for host, there in pairs]
    assert np.mean(ratios) <= 1.01, ratios
    for _, there in pairs:
        assert np.isfinite(there.centroids).all()
        assert np.array_equal(np.unique(there.labels), np.arange(len(there.centroids)))


def test_a_device_is_not_worse_than_cuml() -> None:
    cluster = pytest.importorskip("cuml.cluster")
    x = mixture(20_000, 64, 400)
    peer = cluster.KMeans(n_clusters=400, init="k-means||", max_iter=50, output_type="numpy", random_state=0).fit(x)
    config = ClusteringConfig(resampling=0)
    assert fit_level(x, 400, config, seed=0, device=Device(gpu=True)).inertia <= 1.01 * peer.inertia_


def test_the_same_seed_gives_the_same_bits_with_any_products() -> None:
    x = mixture(20_000, 64, 400)
    first = on_device(x, 300)
    for products in ("tf32", "tf32x3", "float32"):
        again = on_device(x, 300, products)
        assert again.centroids.tobytes() == first.centroids.tobytes()
        assert np.array_equal(again.labels, first.labels)


def test_ranks_on_a_device_are_those_of_the_reference() -> None:
    arrays, rng = open_arrays(), np.random.default_rng(0)
    x, points = rng.standard_normal((3000, 96), np.float32), rng.standard_normal((700, 96), np.float32)
    there = arrays.put(x)
    compared = Compared(there, (there * there).sum(axis=1), quartic_norms(arrays, there))
    out = Ranked(arrays.put(np.empty((3000, 3), np.int32)), arrays.put(np.empty((3000, 3), np.float32)))
    rank_block(arrays, compared, centroids_of(arrays, arrays.put(points)), "tf32", out)
    ids, gaps = np.empty((3000, 3), np.int32), np.empty((3000, 3), np.float32)
    reference.compare_all(x, points, ids, gaps)
    np.testing.assert_allclose(arrays.get(out.gaps), gaps, rtol=1e-5)
    assert (arrays.get(out.ids) == ids).mean() > 0.9999
