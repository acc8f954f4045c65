"""The clusters nearest the target that together are nearest to it.

Source: search and prune, SnP (Yao et al. 2023, arXiv 2303.16186): clusters by ascending Frechet distance to the target,
the prefix whose union has the least distance is kept, and thinned at random to the size that is wanted. Distances are
between projections onto the principal axes of a sample of the pool.

A target of several subjects lies far from each of its own clusters, so that this order begins with clusters between
them. The clusters are therefore also put in the order of their share of the target over their share of the pool, ties
by distance, and the better of both prefixes is kept.
"""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from evenkeel.infra import storage
from evenkeel.infra.arrays import map_array, write_array
from evenkeel.infra.dtypes import Float64Array, Int32Array, Int64Array
from evenkeel.infra.errors import InputError
from evenkeel.tasks.dedup.target_set import TargetSet
from evenkeel.tasks.signal.signal import Fit
from evenkeel.tasks.signal.source import SignalSource
from evenkeel.tasks.signal.toward.clusters import count_leaves
from evenkeel.tasks.signal.toward.drawn import ROWS_PER_CHUNK, pool_sample
from evenkeel.tasks.signal.toward.frechet import Moments, frechet
from evenkeel.tasks.signal.toward.rule import Rule, require_level

if TYPE_CHECKING:
    from evenkeel.tasks.step import Run

POOL_ROWS, MAX_CLUSTERS = 16_384, 8192


class PrefixRule(Rule):
    """Zero for the rows of the prefix of clusters, and no value for all others."""

    def fit(self, source: SignalSource, target: TargetSet, folder: str, run: "Run") -> Mapping[str, object]:
        """Order the clusters by their distance to the target, and write which leaves are in the prefix."""
        hierarchy, level = source.hierarchy, self.options.level
        require_level(source, level, MAX_CLUSTERS)
        cluster = hierarchy.ancestors(level)
        axes = _principal_axes(pool_sample(source, folder, POOL_ROWS, run).astype(np.float64), self.options.components)
        work = source.pool.rows * source.vectors.dimension * 4
        sets = run.compute.reduce(
            partial(_block_moments, source, axes, cluster, hierarchy.levels[level - 1].clusters),
            Moments.add,
            source.blocks,
            work=work,
        )
        aim = Moments.of(np.empty((0, axes.shape[1])), np.empty(0, np.int64), 1)
        for part in target.vectors(source.vectors, run):
            aim = aim.add(Moments.of(part.astype(np.float64) @ axes, np.zeros(len(part), np.int64), 1))
        if sets is None or not sets.rows.any():
            raise InputError("there is no row to compare with the target", where=source.where)
        distances = frechet(sets, aim)
        counted = count_leaves(target.vectors(source.vectors, run), hierarchy, storage.join(folder, "index"), run)
        wanted = np.bincount(cluster, counted, len(distances))
        orders = {"distance": np.lexsort((np.arange(len(distances)), distances))}
        orders["share"] = np.lexsort((distances, -wanted / np.maximum(sets.rows, 1)))
        orders = {name: order[sets.rows[order] > 0] for name, order in orders.items()}
        joined = {name: frechet(sets.running(order), aim) for name, order in orders.items()}
        by = min(joined, key=lambda name: float(joined[name].min()))
        order, last = orders[by], int(joined[by].argmin())
        chosen = np.zeros(len(distances), bool)
        chosen[order[: last + 1]] = True
        write_array(storage.join(folder, "chosen.npy"), chosen[cluster])
        return {
            "target_rows": int(aim.rows[0]),
            "clusters": len(distances),
            "prefix": last + 1,
            "rows_in_prefix": int(sets.rows[chosen].sum()),
            "order": by,
            "frechet": round(float(joined[by][last]), 6),
            "frechet_of_pool": round(float(joined[by][-1]), 6),
        }

    def values(self, source: SignalSource, block: str, fit: Fit) -> Float64Array:
        """Return 0 for each row of the prefix and NaN for all others, (n,) float64."""
        chosen = np.asarray(map_array(storage.join(fit.folder, "chosen.npy"), Path(fit.scratch)))
        leaf, _ = source.clusters(block)
        found: Float64Array = np.where((leaf >= 0) & chosen[leaf], 0.0, np.nan)
        return found


def _block_moments(source: SignalSource, axes: Float64Array, cluster: Int32Array, clusters: int, block: str) -> Moments:
    leaf, _ = source.clusters(block)
    vectors = source.vectors.block(block)
    found = Moments.of(np.empty((0, axes.shape[1])), np.empty(0, np.int64), clusters)
    for start in range(0, len(leaf), ROWS_PER_CHUNK):
        kept = np.flatnonzero(leaf[start : start + ROWS_PER_CHUNK] >= 0) + start
        member: Int64Array = cluster[leaf[kept]].astype(np.int64)
        found = found.add(Moments.of(np.asarray(vectors[kept], np.float64) @ axes, member, clusters))
    return found


def _principal_axes(x: Float64Array, components: int) -> Float64Array:
    """Return the axes of largest variance, (d, components) float64 or fewer."""
    centred = x - x.mean(axis=0)
    _, axes = np.linalg.eigh(centred.T @ centred)
    return np.ascontiguousarray(axes[:, ::-1][:, :components])
