"""What distances between sets of vectors are measured in: one map of the vectors, one kernel, one set of axes."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from evenkeel.infra import storage
from evenkeel.infra.arrays import map_array, write_array
from evenkeel.infra.dtypes import Float32Array, Float64Array
from evenkeel.tasks.cluster.hierarchy import Hierarchy

FEATURES = 512
MOST_AXES = 64
SEED = 0x6D6D64


class Space(NamedTuple):
    """Sets are comparable where their sums were taken in one space.

    map: the fingerprint of what made the vectors. width: of the kernel, squared: the mean squared distance of the pool
    from its mean. centre: (d,) float32, taken off every vector. axes: (d, r) float32, on which means and covariances
    are taken: all of at most 64 dimensions, else the 64 along which the leaves differ most.
    """

    map: str
    width: float
    centre: Float32Array
    axes: Float32Array

    @classmethod
    def of(cls, hierarchy: Hierarchy, made_by: str) -> "Space":
        """Return the space of a clustered pool, whose vectors were made by a map of that fingerprint."""
        leaves = hierarchy.levels[0]
        n, x = leaves.counts.astype(np.float64), leaves.centroids.astype(np.float64)
        mean = n @ x / max(n.sum(), 1)
        x = x - mean
        spread = n @ ((x**2).sum(axis=1) + leaves.radii.astype(np.float64) ** 2) / max(n.sum(), 1)
        axes = np.eye(x.shape[1])
        if x.shape[1] > MOST_AXES:
            _, found = np.linalg.eigh((x * n[:, None]).T @ x)
            axes = found[:, ::-1][:, :MOST_AXES]
        return cls(made_by, float(spread) or 1.0, mean.astype(np.float32), axes.astype(np.float32))

    @property
    def dimension(self) -> int:
        """Return the length of a vector."""
        return len(self.centre)

    def waves(self) -> Float32Array:
        """Return the frequencies of the random Fourier features, (d, 256) float32, scaled to the kernel's width."""
        drawn = np.random.default_rng(SEED).normal(size=(self.dimension, FEATURES // 2))
        scaled: Float32Array = (drawn / np.sqrt(self.width)).astype(np.float32)
        return scaled

    def write(self, folder: str) -> None:
        """Write what workers need of it."""
        for name, part in (("centre", self.centre), ("axes", self.axes), ("waves", self.waves())):
            write_array(storage.join(folder, f"{name}.npy"), part)


class Features(NamedTuple):
    """Makes features of vectors. centre: (d,), axes: (d, r), waves: (d, 256) float32."""

    centre: Float32Array
    axes: Float32Array
    waves: Float32Array

    @classmethod
    def of(cls, space: Space) -> "Features":
        """Return those of a space."""
        return cls(space.centre, space.axes, space.waves())

    @classmethod
    def read(cls, folder: str, scratch: Path) -> "Features":
        """Return those that a space wrote."""
        return cls(*(np.asarray(map_array(storage.join(folder, f"{name}.npy"), scratch)) for name in cls._fields))

    def __call__(self, x: Float32Array) -> tuple[Float64Array, Float64Array]:
        """Return the random Fourier features of vectors (n, d), (n, 512) of length 1, and their places on the axes."""
        x = np.asarray(x, np.float32) - self.centre
        angles = x @ self.waves
        found = np.concatenate([np.cos(angles), np.sin(angles)], axis=1).astype(np.float64) / np.sqrt(FEATURES / 2)
        return found, (x @ self.axes).astype(np.float64)
