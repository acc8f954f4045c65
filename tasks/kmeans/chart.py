"""Finished centroids laid out so that the nearest of many is found without comparing with all."""

from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from evenkeel.infra import storage
from evenkeel.infra.arrays import map_array, write_array
from evenkeel.tasks.kmeans.groups import coarse_groups, file_centroids, find_groups, group_radii, search
from evenkeel.tasks.kmeans.lloyd import Labels, assign_exact, half_norms, squared_distances
from evenkeel.tasks.kmeans.prepare import Floats, prepare

EXACT = 1024
Metric = Literal["euclidean", "cosine"]


def write_chart(folder: str, centroids: Floats, metric: Metric, seed: int, threads: int) -> None:
    """Write (k, d) centroids to `folder`, and above 1,024 of them the coarse groups that they are filed under.

    They are written in working coordinates, so that a worker maps them and copies none.
    """
    space = prepare(centroids, None, metric, threads)
    write_array(storage.join(folder, "centroids.npy"), space.x)
    write_array(storage.join(folder, "frame.npy"), np.append(space.shift.astype(np.float64), space.scale))
    if len(centroids) <= EXACT:
        return
    coarse = coarse_groups(space, len(centroids), np.random.default_rng([seed, 3]))
    _, (member, begin) = file_centroids(space.x, coarse, None, threads)
    parts: dict[str, npt.NDArray[Any]] = {
        "member": member,
        "begin": begin,
        "coarse": coarse.centres,
        "half": half_norms(space.x),
        "radii": group_radii(coarse.centres, space.x, member, begin),
    }
    for name, array in parts.items():
        write_array(storage.join(folder, f"{name}.npy"), array)


def nearest_centroids(
    x: npt.NDArray[Any], folder: str, metric: Metric, scratch: Path, exact: bool = False
) -> tuple[Labels, npt.NDArray[np.float64]]:
    """Return the nearest centroid of each of (n, d) rows, (n,) int32, and the squared distance to it, (n,) float64.

    exact: compare with every centroid, however many. Raises InputError for rows that cannot be used (`prepare`).
    """
    if not len(x):
        return np.empty(0, np.int32), np.empty(0)
    frame = map_array(storage.join(folder, "frame.npy"), scratch)
    rows = prepare(x, None, metric, 1, (frame[:-1].astype(np.float32), float(frame[-1])))
    centroids = map_array(storage.join(folder, "centroids.npy"), scratch)
    if exact or len(centroids) <= EXACT:
        labels = assign_exact(rows, centroids)
    else:
        member, begin, centres, half, radii = (
            map_array(storage.join(folder, f"{name}.npy"), scratch)
            for name in ("member", "begin", "coarse", "half", "radii")
        )
        groups = find_groups(rows, centres)
        labels = search(rows, groups, centroids, None, filing=(member, begin), half=half, radii=radii)
    return labels, squared_distances(rows, centroids, labels).astype(np.float64) / rows.scale**2
