"""Kernel density of the leaves of a clustering: how many leaves are close to each."""

import numpy as np

from evenkeel.tasks.kmeans.device.density import densities_on_device
from evenkeel.tasks.kmeans.options import CPU, Device
from evenkeel.tasks.sample.balanced.partition import distances
from evenkeel.tasks.sample.problem import KernelDensities
from evenkeel.tasks.sample.quotas.tree import ClusterTree

MAX_LEAVES = 12_000
BANDWIDTHS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2)


def kernel_densities(tree: ClusterTree, seed: int, device: Device = CPU) -> KernelDensities:
    """Return by bandwidth the Gaussian kernel density at every leaf, in leaves, (k1,) float32 >= 1.

    A bandwidth is given as a quantile of the distances between leaves. Beyond 12,000 leaves a leaf is compared with as
    many others, drawn at random. {} where there are no three leaves apart. device: where leaves are compared.
    """
    if tree.centroids is None or tree.leaves < 3:
        return {}
    centroids = tree.centroids - tree.centroids.mean(axis=0)
    rng = np.random.default_rng(seed)
    others = np.sort(rng.permutation(tree.leaves)[:MAX_LEAVES])
    some = distances(centroids[rng.permutation(tree.leaves)[:500]], centroids[others])
    if not (some > 1e-6).any():
        return {}
    lengths = np.quantile(some[some > 1e-6], BANDWIDTHS)
    represented = tree.leaves / len(others)
    if device.gpu:
        densities = densities_on_device(centroids, centroids[others], lengths.tolist())
        return dict(zip(BANDWIDTHS, np.maximum(1, represented * densities), strict=True))
    densities = np.zeros((len(BANDWIDTHS), tree.leaves), np.float32)
    for start in range(0, tree.leaves, 2048):
        part = distances(centroids[start : start + 2048], centroids[others])
        part *= part
        for place, length in enumerate(lengths):
            densities[place, start : start + 2048] = np.exp(part / np.float32(-2 * length * length)).sum(axis=1)
    return dict(zip(BANDWIDTHS, np.maximum(1, represented * densities), strict=True))
