"""Resampling: refit on only the rows nearest their centroid, so that dense regions lose centroids to sparse ones."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from tasks.cluster.config import ClusteringConfig
from tasks.cluster.kmeans import KMeans, kmeans

Log = Callable[[dict[str, Any]], None]


def nearest_members(labels: npt.NDArray[np.int32], distances: npt.NDArray[np.float32], r: int) -> npt.NDArray[np.int64]:
    """Return the rows among the r nearest to the centroid of their cluster, ascending; ties go to the lowest row."""
    order = np.lexsort((distances, labels))
    ordered = labels[order]
    starts = np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1])))
    sizes = np.diff(np.concatenate((starts, [len(ordered)])))
    rank = np.arange(len(ordered)) - np.repeat(starts, sizes)
    return np.sort(order[rank < r])


def fit_level(
    x: Any, k: int, config: ClusteringConfig, seed: int, threads: int | None = None, log: Log = lambda entry: None
) -> KMeans:
    """Cluster (n, d) rows around k centroids that `config.resampling` rounds have spread evenly over the data.

    A round keeps the r rows nearest to each centroid (r = `resampling_share` x n / k), fits k-means on them from the
    centroids there are, and takes the result for all rows (Vo et al. 2024; warm start ours).
    """
    options: dict[str, Any] = {
        "iterations": config.iterations,
        "tolerance": config.tolerance,
        "precision": config.precision,
        "metric": config.metric,
        "threads": threads,
    }

    def watch(iteration: int, inertia: float, moved: int, reseeded: int) -> None:
        log({"round": turn, "iteration": iteration, "inertia": inertia, "moved": moved, "reseeded": reseeded})

    turn = 0
    model = kmeans(x, k, seed=seed, watch=watch, **options)
    kept_each = max(1, round(config.resampling_share * len(x) / k))
    for turn in range(1, config.resampling + 1):
        kept = nearest_members(model.labels, model.distances, kept_each)
        if len(kept) <= len(model.centroids):
            break
        refit = kmeans(x[kept], k, seed=seed + turn, initial=model.centroids, watch=watch, **options)
        model = kmeans(x, k, initial=refit.centroids, **options | {"iterations": 0})
    return model
