"""Upper levels: the clusters of a level grouped into fewer, larger ones.

k-means over centroids gathers everything diffuse into one hub near the mean. Ward linkage does so less, and what hub is
left dissolves where clusters go by their direction from the mean. `docs/CLUSTERING.md` holds the measurements.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np

from evenkeel.infra.dtypes import Float32Array, Float64Array, Int32Array
from evenkeel.tasks.cluster.checkpoint import Checkpoint
from evenkeel.tasks.cluster.config import ClusteringConfig
from evenkeel.tasks.cluster.resample import OnIteration, fit_level, rounds_of
from evenkeel.tasks.kmeans.fit import KMeans, kmeans
from evenkeel.tasks.kmeans.lloyd import to_sphere
from evenkeel.tasks.kmeans.options import Device, Options
from evenkeel.tasks.kmeans.ward import EXACT_UP_TO, means_of, ward_labels

DIRECTIONS = Options(iterations=50, metric="cosine", precision="exact")
MANY_DIRECTIONS = Options(iterations=12, metric="cosine")
STARTS, STARTS_UP_TO = 4, 2_000  # of k-means on so many directions, besides the one from Ward's clusters
MOST_LOST = 3.0  # inertia that directions may cost, as a multiple of Ward's


@dataclass(frozen=True)
class Children:
    """The clusters of the level below: centroids, (n, d) float32, and leaves and rows below each, (n,)."""

    centroids: Float32Array
    leaves: Float64Array
    rows: Float64Array


@dataclass(frozen=True)
class Upper:
    """How levels above the first are made: as the recipe says, on a device, each with a seed of its own."""

    config: ClusteringConfig
    device: Device

    def rounds(self, points: int) -> tuple[int, int]:
        """Return how many k-means a level above so many points takes at most, and how many iterations each."""
        if self.config.upper == "k-means":
            return rounds_of(self.config)
        if self.config.upper == "spherical" and points > EXACT_UP_TO:
            return 1, MANY_DIRECTIONS.iterations
        turns = self.config.upper == "auto" and points <= STARTS_UP_TO
        return 1 + STARTS * turns, DIRECTIONS.iterations

    def fit(
        self, below: Children, k: int, seed: int, on_iteration: OnIteration, checkpoint: Checkpoint
    ) -> tuple[Float32Array, Int32Array]:
        """Return centroids, (<= k, d), and the parent of every child, (n,).

        checkpoint: where the level is saved once it is done, or after each round of resampling.
        """
        if self.config.upper == "k-means":
            model = fit_level(below.centroids, k, self.config, seed, self.device, on_iteration, checkpoint)
            return model.centroids, model.labels
        saved = checkpoint.load_round()
        if saved is not None:
            return saved[1], saved[2]
        labels = self._labels(below, k, seed, on_iteration)
        centroids = means_of(below.centroids, below.leaves, labels)[0]
        if self.config.metric == "cosine":
            to_sphere(centroids)
        checkpoint.save_round(0, centroids, labels)
        return centroids, labels

    def _labels(self, below: Children, k: int, seed: int, on_iteration: OnIteration) -> Int32Array:
        if self.config.upper == "spherical":
            few = len(below.centroids) <= EXACT_UP_TO
            options, x = DIRECTIONS if few else MANY_DIRECTIONS, directions(below)
            return kmeans(
                x,
                k,
                options,
                seed=seed,
                weights=below.leaves,
                threads=self.device.threads,
                on_iteration=partial(on_iteration, 0),
            ).labels
        labels = ward_labels(below.centroids, below.leaves, k, self.device, seed)
        if self.config.upper == "ward" or not 1 < k < len(below.centroids) <= EXACT_UP_TO:
            return labels
        most = MOST_LOST * inertia(below, labels)
        turned = [
            model
            for model in self._turned(below, labels, seed, on_iteration)
            if int(model.labels.max()) == int(labels.max()) and inertia(below, model.labels) <= most
        ]
        return min(turned, key=lambda model: model.inertia).labels if turned else labels

    def _turned(self, below: Children, labels: Int32Array, seed: int, on_iteration: OnIteration) -> Iterator[KMeans]:
        """Yield k-means on directions from Ward's clusters, and on few directions from other starts.

        Ward's start is nearly always the best of them; from a hub that heavy tails leave only another leads away.
        """
        x, k = directions(below), int(labels.max()) + 1
        for at in range(1 + STARTS * (len(x) <= STARTS_UP_TO)):
            yield kmeans(
                x,
                k,
                DIRECTIONS,
                seed=seed + at,
                weights=below.leaves,
                initial=None if at else means_of(x, below.leaves, labels)[0],
                threads=self.device.threads,
                on_iteration=partial(on_iteration, at),
            )


def directions(below: Children) -> Float32Array:
    """Return centroids as directions from the mean row, (n, d) float32 of length 1; one at the mean has any."""
    gaps = below.centroids - np.average(below.centroids, axis=0, weights=below.rows)
    lengths = np.linalg.norm(gaps, axis=1)
    gaps[lengths == 0, 0], lengths[lengths == 0] = 1.0, 1.0
    turned: Float32Array = (gaps / lengths[:, None]).astype(np.float32)
    return turned


def inertia(below: Children, labels: Int32Array) -> float:
    """Return the summed squared distances of the leaves' centroids to the mean of their parent."""
    gaps = below.centroids - means_of(below.centroids, below.leaves, labels)[0][labels]
    return float(below.leaves @ np.einsum("ij,ij->i", gaps, gaps, dtype=np.float64))
