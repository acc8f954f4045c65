"""Importance weights by clusters: how much larger a cluster's share of the target is than its share of the pool.

Importance resampling (Rubin 1988; DSIR, arXiv 2302.03169) with the clusters of one level as its features. The target is
embedded by the map that embedded the pool, and each of its rows joins the nearest leaf. soft: rows of target and pool
are shared out over the clusters near them (`soft`), and a row weighs what its clusters do in its shares.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from evenkeel.infra import storage
from evenkeel.infra.arrays import map_array, write_array
from evenkeel.infra.compute import Backend
from evenkeel.infra.dtypes import Array, Float32Array, Float64Array, Int32Array, Int64Array
from evenkeel.tasks.cluster.hierarchy import Hierarchy, Level
from evenkeel.tasks.dedup.target_set import TargetSet
from evenkeel.tasks.signal.signal import Fit
from evenkeel.tasks.signal.source import SignalSource
from evenkeel.tasks.signal.toward.rule import Rule, require_level
from evenkeel.tasks.signal.toward.soft import (
    WIDTHS,
    Near,
    chunks_of,
    clusters_around,
    likeliest,
    nearest_around,
    ratios,
)

if TYPE_CHECKING:
    from evenkeel.tasks.step import Run

LOG_WEIGHTS, RATIOS = "log_weights.npy", "ratios.npy"
SOFT_CLUSTERS = 65_536
LEFT_OUT = 8192


class ClusterRule(Rule):
    """The log of the importance weight of a row's cluster, or of the clusters near it."""

    def fit(self, source: SignalSource, target: TargetSet, folder: str, run: "Run") -> Mapping[str, object]:
        """Write the weight of every cluster, (clusters,) float64. Raises RecipeError without such a level.

        hard: log weights, by leaf. soft: weights, beside what assigns rows; of levels with at most 65,536 clusters.
        """
        hierarchy, level = source.hierarchy, self.options.level
        require_level(source, level)
        cluster, index = hierarchy.ancestors(level), storage.join(folder, "index")
        soft = self.options.assign != "hard" and hierarchy.levels[level - 1].clusters <= SOFT_CLUSTERS
        target_rows = target.vectors(source.vectors, run)
        if soft:
            counted, about = self._fit_soft(source, cluster, assigned(target_rows, hierarchy, index, run), folder, run)
        else:
            counted, about = count_leaves(target_rows, hierarchy, index, run), {}
        clusters = hierarchy.levels[level - 1].clusters
        wanted: Float64Array = np.bincount(cluster, counted, clusters).astype(np.float64)
        held: Float64Array = np.bincount(cluster, hierarchy.levels[0].counts, clusters).astype(np.float64)
        if not soft:
            log_weights = np.log(ratios(wanted, held, self.options.prior))
            write_array(storage.join(folder, LOG_WEIGHTS), log_weights[cluster])
        hit = wanted > 0
        return {
            "target_rows": int(wanted.sum()),
            "clusters": clusters,
            "clusters_of_target": int(hit.sum()),
            "pool_in_them": round(float(held[hit].sum() / max(held.sum(), 1)), 4),
            **about,
        }

    def values(self, source: SignalSource, block: str, fit: Fit) -> Float64Array:
        """Return the log weight of each row, (n,) float64; NaN for rows that deduplication dropped."""
        leaf, _ = source.clusters(block)
        if "variance" not in fit.facts:
            weights = _array(fit.folder, "log_weights", fit.scratch)
            found: Float64Array = np.where(leaf >= 0, weights[leaf], np.nan)
            return found
        ratio, variance = _array(fit.folder, "ratios", fit.scratch), fit.facts["variance"]
        assert isinstance(variance, float)
        soft = np.full(len(leaf), np.nan)
        for rows, near in _near_rows(source, fit.folder, fit.scratch, fit.backend, block):
            soft[rows] = np.log((near.shares(variance) * ratio[near.cluster]).sum(axis=1))
        return soft

    def _fit_soft(
        self,
        source: SignalSource,
        cluster: Int32Array,
        target: Iterable[tuple[Float32Array, Int32Array]],
        folder: str,
        run: "Run",
    ) -> tuple[Int64Array, dict[str, object]]:
        """Write the ratio of every cluster and what assigns rows; return the target's rows by leaf, and facts.

        cluster: (leaves,) of each leaf. target: its vectors, (n, d), and their leaves, (n,), some at a time.
        """
        level = source.hierarchy.levels[self.options.level - 1]
        around = clusters_around(level.centroids)
        for name, part in (("centroids", level.centroids), ("around", around), ("cluster", cluster)):
            write_array(storage.join(folder, f"{name}.npy"), part)
        variances = np.maximum(np.array(WIDTHS) * _spread(level), 1e-12)
        counted, wanted = np.zeros(len(cluster), np.int64), np.zeros((len(WIDTHS), level.clusters))
        first, left_out = list[Near](), 0
        for x, leaf in target:
            counted += np.bincount(leaf, minlength=len(counted))
            near = nearest_around(x, cluster[leaf], level.centroids, around)
            wanted += _counts(near, variances, level.clusters)
            first.append(near.head(LEFT_OUT - left_out))
            left_out += len(first[-1].cluster)
        near_rows = partial(_near_rows, source, folder, str(run.scratch), run.compute.backend)
        count = partial(_count_block, near_rows, variances, level.clusters)
        work = source.pool.rows * source.vectors.dimension * source.vectors.dtype.itemsize
        held = run.compute.reduce(count, np.add, source.blocks, work=work)
        held = np.zeros_like(wanted) if held is None else held
        sample = Near(np.concatenate([one.cluster for one in first]), np.concatenate([one.apart for one in first]))
        chosen = likeliest(sample, wanted, held, variances, self.options.prior)
        write_array(storage.join(folder, RATIOS), ratios(wanted[chosen], held[chosen], self.options.prior))
        return counted, {"variance": float(variances[chosen]), "width": WIDTHS[chosen]}


def _spread(level: Level) -> float:
    """Return the mean squared distance of rows from their centroid."""
    return float(level.counts @ level.radii.astype(np.float64) ** 2 / max(level.counts.sum(), 1))


def _counts(near: Near, variances: Float64Array, clusters: int) -> Float64Array:
    return np.stack([near.counts(float(one), clusters) for one in variances])


def _count_block(
    near_rows: Callable[[str], Iterable[tuple[Int64Array, Near]]],
    variances: Float64Array,
    clusters: int,
    block: str,
) -> Float64Array:
    """Return the rows of a block in every cluster under each variance, in shares, (v, clusters) float64."""
    found = np.zeros((len(variances), clusters))
    for _, near in near_rows(block):
        found += _counts(near, variances, clusters)
    return found


def _near_rows(
    source: SignalSource, folder: str, scratch: str, backend: Backend, block: str
) -> Iterator[tuple[Int64Array, Near]]:
    """Yield numbers of rows of a block that deduplication kept, and the clusters near them, some at a time."""
    cluster, around = (np.asarray(_array(folder, name, scratch), np.int32) for name in ("cluster", "around"))
    centroids = np.asarray(_array(folder, "centroids", scratch), np.float32)
    leaf, _ = source.clusters(block)
    vectors, chosen = source.vectors.block(block), list(chunks_of(leaf))
    parts = ((np.asarray(vectors[rows], np.float32), cluster[leaf[rows]]) for rows in chosen)
    if backend == "gpu":
        from evenkeel.tasks.signal.toward.device_soft import near_on_device

        yield from zip(chosen, near_on_device(parts, centroids, around), strict=True)
        return
    for rows, (x, own) in zip(chosen, parts, strict=True):
        yield rows, nearest_around(x, own, centroids, around)


def _array(folder: str, name: str, scratch: str) -> Array:
    return np.asarray(map_array(storage.join(folder, f"{name}.npy"), Path(scratch)))


def count_leaves(parts: Iterable[Float32Array], hierarchy: Hierarchy, folder: str, run: "Run") -> Int64Array:
    """Return how many vectors join each leaf, (leaves,) int64; parts: (n, d) each. folder: for an index, removed."""
    counts = np.zeros(hierarchy.leaves, np.int64)
    for _, leaf in assigned(parts, hierarchy, folder, run):
        counts += np.bincount(leaf, minlength=len(counts))
    return counts


def assigned(
    parts: Iterable[Float32Array], hierarchy: Hierarchy, folder: str, run: "Run"
) -> Iterator[tuple[Float32Array, Int32Array]]:
    """Yield vectors, (n, d), with the leaf that each joins, (n,). folder: for an index, removed after."""
    from evenkeel.tasks.cluster.penalty import nearest_penalised, write_penalised_index
    from evenkeel.tasks.kmeans.index import CentroidIndex

    centroids, offsets, threads = hierarchy.levels[0].centroids, hierarchy.offsets, run.compute.threads
    index = CentroidIndex.build(centroids, "euclidean", 0, threads) if offsets is None else None
    if offsets is not None:
        write_penalised_index(folder, centroids, offsets, threads)
    for part in parts:
        if index is not None:
            leaf, _ = index.nearest(part)
        else:
            assert offsets is not None
            leaf, _ = nearest_penalised(folder, run.scratch, part, offsets)
        yield part, leaf
    storage.remove(folder)
