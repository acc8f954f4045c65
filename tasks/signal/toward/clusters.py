"""Importance weights by clusters: how much larger a cluster's share of the target is than its share of the pool.

Importance resampling (Rubin 1988; DSIR, arXiv 2302.03169) with the clusters of one level as its features. The target is
embedded by the map that embedded the pool, and each of its rows joins the nearest leaf.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from evenkeel.infra import storage
from evenkeel.infra.arrays import map_array, write_array
from evenkeel.infra.dtypes import Float32Array, Float64Array, Int64Array
from evenkeel.tasks.cluster.hierarchy import Hierarchy
from evenkeel.tasks.dedup.target_set import TargetSet
from evenkeel.tasks.signal.signal import Fit
from evenkeel.tasks.signal.source import SignalSource
from evenkeel.tasks.signal.toward.rule import Rule, require_level

if TYPE_CHECKING:
    from evenkeel.tasks.step import Run

LOG_WEIGHTS = "log_weights.npy"


class ClusterRule(Rule):
    """The log of the importance weight of a row's cluster."""

    def fit(self, source: SignalSource, target: TargetSet, folder: str, run: "Run") -> Mapping[str, object]:
        """Write the log weight of every leaf's cluster, (leaves,) float64. Raises RecipeError without such a level."""
        hierarchy, level = source.hierarchy, self.options.level
        require_level(source, level)
        cluster = hierarchy.ancestors(level)
        counted = count_leaves(target.vectors(source.vectors, run), hierarchy, storage.join(folder, "index"), run)
        clusters = hierarchy.levels[level - 1].clusters
        wanted: Float64Array = np.bincount(cluster, counted, clusters).astype(np.float64)
        held: Float64Array = np.bincount(cluster, hierarchy.levels[0].counts, clusters).astype(np.float64)
        write_array(storage.join(folder, LOG_WEIGHTS), log_weights(wanted, held, self.options.prior)[cluster])
        hit = wanted > 0
        return {
            "target_rows": int(wanted.sum()),
            "clusters": clusters,
            "clusters_of_target": int(hit.sum()),
            "pool_in_them": round(float(held[hit].sum() / max(held.sum(), 1)), 4),
        }

    def values(self, source: SignalSource, block: str, fit: Fit) -> Float64Array:
        """Return the log weight of each row, (n,) float64; NaN for rows that deduplication dropped."""
        weights = np.asarray(map_array(storage.join(fit.folder, LOG_WEIGHTS), Path(fit.scratch)))
        leaf, _ = source.clusters(block)
        found: Float64Array = np.where(leaf >= 0, weights[leaf], np.nan)
        return found


def count_leaves(parts: Iterable[Float32Array], hierarchy: Hierarchy, folder: str, run: "Run") -> Int64Array:
    """Return how many vectors join each leaf, (leaves,) int64; parts: (n, d) each. folder: for an index, removed."""
    from evenkeel.tasks.cluster.penalty import nearest_penalised, write_penalised_index
    from evenkeel.tasks.kmeans.index import CentroidIndex

    centroids, offsets, threads = hierarchy.levels[0].centroids, hierarchy.offsets, run.compute.threads
    index = CentroidIndex.build(centroids, "euclidean", 0, threads) if offsets is None else None
    if offsets is not None:
        write_penalised_index(folder, centroids, offsets, threads)
    counts = np.zeros(len(centroids), np.int64)
    for part in parts:
        if index is not None:
            leaf, _ = index.nearest(part)
        else:
            assert offsets is not None
            leaf, _ = nearest_penalised(folder, run.scratch, part, offsets)
        counts += np.bincount(leaf, minlength=len(counts))
    storage.remove(folder)
    return counts


def log_weights(wanted: Float64Array, held: Float64Array, prior: float) -> Float64Array:
    """Return log(share of the target / share of the pool) of every cluster, (clusters,) float64; 0 for an empty one.

    wanted, held: rows of target and pool in each. prior: rows spread like the pool that are added to the target's.
    """
    share = held / max(held.sum(), 1)
    smoothed = (wanted + prior * share) / (wanted.sum() + prior)
    ratios = np.divide(smoothed, share, out=np.ones(len(share)), where=share > 0)
    found: Float64Array = np.log(ratios)
    return found
