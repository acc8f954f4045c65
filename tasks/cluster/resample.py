"""Resampling: refit on only the rows nearest their centroid, so that dense regions lose centroids to sparse ones."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from evenkeel.tasks.cluster.checkpoint import Checkpoint
from evenkeel.tasks.cluster.config import ClusteringConfig
from evenkeel.tasks.kmeans.bounds import bound_sizes
from evenkeel.tasks.kmeans.engine import Engine
from evenkeel.tasks.kmeans.fit import KMeans, result
from evenkeel.tasks.kmeans.lloyd import Labels
from evenkeel.tasks.kmeans.prepare import Floats
from evenkeel.tasks.kmeans.threads import thread_count

Log = Callable[[dict[str, Any]], None]


def nearest_members(labels: Labels, squared: Floats, r: int) -> npt.NDArray[np.int64]:
    """Return the rows among the r nearest to the centroid of their cluster, ascending; ties go to the lowest row."""
    order = np.lexsort((squared, labels))
    ordered = labels[order]
    starts = np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1])))
    sizes = np.diff(np.concatenate((starts, [len(ordered)])))
    rank = np.arange(len(ordered)) - np.repeat(starts, sizes)
    return np.sort(order[rank < r])


def fit_level(
    x: Any,
    k: int,
    config: ClusteringConfig,
    seed: int,
    threads: int | None = None,
    log: Log = lambda entry: None,
    checkpoint: Checkpoint | None = None,
    bound: int | None = None,
    on_gpu: bool = False,
) -> KMeans:
    """Cluster (n, d) rows around at most k centroids that `config.resampling` rounds have spread evenly over the data.

    A round keeps the r rows nearest to each centroid (r = `resampling_share` x n / k), fits k-means afresh on them and
    takes the result for all rows (Vo et al. 2024). Checks, coarse groups and the search are shared by all rounds.
    Starting a round from the centroids there are would cost less, but they stay where they are: KL 0.09 in place of
    0.04 on the 2-D toy. bound: most rows of a cluster. log: told of every iteration. checkpoint: kept after each
    round, and within a long one.
    """
    engine = Engine.open(
        x,
        k,
        config.precision,
        None,
        config.metric,
        thread_count(threads),
        np.random.default_rng([seed, 0]),
        on_gpu,
    )
    k = min(k, len(engine.order))
    saved = checkpoint.load() if checkpoint is not None else None
    first = 0 if saved is None else saved[0] + 1
    ran = 0
    for turn in range(first, config.resampling + 1):
        rng = np.random.default_rng([seed, 1, turn])

        def watch(iteration: int, inertia: float, moved: int, reseeded: int, turn: int = turn) -> None:
            log({"round": turn, "iteration": iteration, "inertia": inertia, "moved": moved, "reseeded": reseeded})

        start = None if checkpoint is None else checkpoint.state(turn)
        keep = None if checkpoint is None else partial(checkpoint.keep, turn)
        if turn == 0:
            centroids = engine.seed(k, "auto", rng) if start is None else start.centroids
            centroids, labels, ran = engine.fit(
                centroids, None, config.iterations, config.tolerance, rng, watch, start, keep
            )
        else:
            assert saved is not None
            _, centroids, labels = saved
            kept_each = max(1, round(config.resampling_share * len(labels) / k))
            part = engine.subset(nearest_members(labels, engine.squared(centroids, labels), kept_each))
            centroids = part.seed(k, "auto", rng) if start is None else start.centroids
            centroids, _, ran = part.fit(centroids, None, config.iterations, config.tolerance, rng, watch, start, keep)
            labels = engine.assign(centroids)
        saved = (turn, centroids, labels)
        if checkpoint is not None:
            checkpoint.save(*saved)
    assert saved is not None
    _, centroids, labels = saved
    if bound is not None:
        centroids, labels = bound_sizes(engine, centroids, labels, bound, np.random.default_rng([seed, 2]))
    return result(engine, centroids, labels, ran)
