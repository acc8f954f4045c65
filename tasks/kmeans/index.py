"""A centroid index: finished centroids laid out so that the nearest of many is found without comparing with all."""

from dataclasses import dataclass
from typing import TypedDict

import numpy as np

from evenkeel.infra.dtypes import Float32Array, Float64Array, Int32Array, Int64Array
from evenkeel.tasks.kmeans.assign import farthest, walk
from evenkeel.tasks.kmeans.coarse import assign_coarse, fit_coarse
from evenkeel.tasks.kmeans.device.nearest import nearest_on_device
from evenkeel.tasks.kmeans.inverted import build_inverted_file, search
from evenkeel.tasks.kmeans.kernels import Codebook, InvertedLists
from evenkeel.tasks.kmeans.lloyd import assign_exact, codebook, squared_distances
from evenkeel.tasks.kmeans.neighbours import NEIGHBOURS, SPARE, Neighbours
from evenkeel.tasks.kmeans.options import CPU, Device, Metric
from evenkeel.tasks.kmeans.prepare import Frame, Matrix, PreparedRows, prepare
from evenkeel.tasks.kmeans.pruned_kernels import InvertedFile

MAX_UNINDEXED = 1024


class IndexArrays(TypedDict):
    """The arrays that an index consists of. frame: (d + 1,), the shift and behind it the scale."""

    frame: Float64Array
    centroids: Float32Array
    half_norms: Float32Array
    coarse: Float32Array
    members: Int64Array
    starts: Int64Array
    radii: Float32Array


@dataclass(frozen=True)
class CentroidIndex:
    """Finished centroids and, above 1,024 of them, the inverted lists that they are filed in.

    All is in working coordinates, so that a process maps the arrays of an index and copies none. frame: what these
    are. coarse: (nlist, d) float32, the coarse centroids; empty where there are no lists.
    """

    metric: Metric
    frame: Frame
    coarse: Float32Array
    inverted: InvertedFile

    @classmethod
    def build(cls, centroids: Float32Array, metric: Metric, seed: int, threads: int) -> "CentroidIndex":
        """Index (k, d) centroids."""
        space = prepare(centroids, None, metric, threads)
        if len(centroids) <= MAX_UNINDEXED:
            none = np.empty(0, np.int64)
            inverted = InvertedFile(codebook(space.x), InvertedLists(none, none), np.empty(0, np.float32))
            return cls(metric, space.frame, np.empty((0, space.x.shape[1]), np.float32), inverted)
        coarse = fit_coarse(space, len(centroids), np.random.default_rng([seed, 3])).centroids
        return cls(metric, space.frame, coarse, build_inverted_file(space.x, coarse, None, threads))

    @classmethod
    def from_arrays(cls, metric: Metric, arrays: IndexArrays) -> "CentroidIndex":
        """Return the index that consists of `arrays`."""
        inverted = InvertedFile(
            Codebook(arrays["centroids"], arrays["half_norms"]),
            InvertedLists(arrays["members"], arrays["starts"]),
            arrays["radii"],
        )
        frame = Frame(arrays["frame"][:-1].astype(np.float32), float(arrays["frame"][-1]))
        return cls(metric, frame, arrays["coarse"], inverted)

    def arrays(self) -> IndexArrays:
        """Return the arrays that the index consists of."""
        (centroids, half_norms), (members, starts), radii = self.inverted
        return {
            "frame": np.append(self.frame.shift.astype(np.float64), self.frame.scale),
            "centroids": centroids,
            "half_norms": half_norms,
            "coarse": self.coarse,
            "members": members,
            "starts": starts,
            "radii": radii,
        }

    def nearest(self, x: Matrix, exact: bool = False, device: Device = CPU) -> tuple[Int32Array, Float64Array]:
        """Return the nearest centroid of each of (n, d) rows, (n,) int32, and the squared distance to it, (n,) float64.

        exact: compare with every centroid, however many. device: where; this thread unless it is a CUDA device. Raises
        InputError for rows that cannot be used (`prepare`).
        """
        if not x.shape[0]:
            return np.empty(0, np.int32), np.empty(0)
        centroids = self.inverted.codebook.centroids
        if device.gpu:
            coarse = None if exact else self.coarse
            return nearest_on_device(x, self.metric, self.frame, centroids, coarse, device.products)
        rows = prepare(x, None, self.metric, 1, self.frame)
        if exact or not len(self.coarse):
            labels = assign_exact(rows, centroids)
        else:
            labels = search(rows, assign_coarse(rows, self.coarse), self.inverted)
        return labels, squared_distances(rows, centroids, labels).astype(np.float64) / rows.frame.scale**2

    def neighbours(self, threads: int) -> Int32Array:
        """Return the centroids near each, (k, 40) int32, for `nearest_from`; (0, 40) where all are compared."""
        if not len(self.coarse):
            return np.empty((0, NEIGHBOURS + SPARE), np.int32)
        return Neighbours(self.inverted.codebook.centroids, self.coarse, threads).lists

    def nearest_from(
        self, x: Matrix, near: Int32Array, neighbours: Int32Array, device: Device = CPU
    ) -> tuple[Int32Array, Float64Array]:
        """Return what `nearest` does, for rows that have a centroid near them: 32 products in place of hundreds.

        near: (n,) these centroids, -1 where none is known. neighbours: `neighbours` of the index. A row goes along the
        neighbours of centroids; one that ends far from any searches the lists too.
        """
        centroids = self.inverted.codebook.centroids
        if device.gpu or not len(self.coarse) or not x.shape[0]:
            return self.nearest(x, device=device)
        rows, labels = prepare(x, None, self.metric, 1, self.frame), near.copy()
        unknown = np.flatnonzero(near < 0)
        labels[unknown] = self._searched(rows, unknown, None)
        labels = walk(rows, centroids, neighbours, labels)
        far = farthest(squared_distances(rows, centroids, labels))
        labels[far] = self._searched(rows, far, labels[far])
        return labels, squared_distances(rows, centroids, labels).astype(np.float64) / rows.frame.scale**2

    def _searched(self, rows: PreparedRows, which: Int64Array, labels: Int32Array | None) -> Int32Array:
        if not which.size:
            return np.empty(0, np.int32)
        part = rows.take(which)
        return search(part, assign_coarse(part, self.coarse), self.inverted, labels)
