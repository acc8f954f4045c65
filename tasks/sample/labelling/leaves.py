"""Which leaves are looked into: those near the anchors, without those that lie far from all others."""

import numpy as np

from evenkeel.infra.dtypes import BoolArray, Float32Array, Float64Array, Int64Array
from evenkeel.tasks.sample.diverse import farthest_points
from evenkeel.tasks.sample.labelling.labelled import Labelled

NEAREST = 5
AT_ONCE = 1 << 24


def anchors_of(labelled: Labelled, each: int) -> list[Float32Array]:
    """Return up to `each` labelled rows of every class that are far from one another, (<= each, d) float32."""
    found = []
    for number in range(len(labelled.classes)):
        rows = labelled.vectors[labelled.labels == number]
        found.append(rows[farthest_points(rows, min(each, len(rows)))])
    return found


def near_leaves(anchors: list[Float32Array], centroids: Float32Array, sizes: Int64Array, wanted: int) -> BoolArray:
    """Return the leaves nearest to the anchors of every class, (leaves,) bool, with `wanted` rows for each class."""
    chosen = np.zeros(len(centroids), bool)
    for rows in anchors:
        distance = _squared(centroids, rows).min(axis=1, initial=np.inf)
        order = np.argsort(distance, kind="stable")
        before = np.cumsum(sizes[order]) - sizes[order]
        chosen[order[before < wanted]] = True
    return chosen & (sizes > 0)


def outlying_leaves(centroids: Float32Array, sizes: Int64Array, labelled: Int64Array, share: float) -> BoolArray:
    """Return the leaves farthest from all others, (leaves,) bool, with up to a share of all rows.

    Rows that lie together and far away, such as another language or broken files, are what a model stays unsure of and
    never learns from (collective outliers; Karamcheti et al. 2021, arXiv 2107.02331). A leaf with a label is none.
    """
    outlying, held = np.zeros(len(centroids), bool), np.flatnonzero(sizes > 0)
    if not share or len(held) < 2:
        return outlying
    remote = _to_nearest(centroids[held])
    order = held[np.argsort(-remote, kind="stable")]
    order = order[labelled[order] == 0]
    outlying[order[np.cumsum(sizes[order]) <= share * sizes.sum()]] = True
    return outlying


def raised(held: Int64Array, left: Int64Array, rows: int) -> Int64Array:
    """Return how many rows each leaf gives, (leaves,) int64: the level that all are raised to is as low as it can be.

    held: labelled rows of each. left: unlabelled ones. The last round goes to the leaves with the most rows left.
    """
    low, high = 0, int((held + left).max(initial=0))
    while low < high:
        level = (low + high + 1) // 2
        if np.clip(level - held, 0, left).sum() <= rows:
            low = level
        else:
            high = level - 1
    quotas = np.clip(low - held, 0, left)
    more = np.flatnonzero((quotas < left) & (held + quotas <= low))
    first = more[np.argsort(-left[more], kind="stable")][: rows - int(quotas.sum())]
    quotas[first] += 1
    return quotas.astype(np.int64)


def _to_nearest(points: Float32Array) -> Float64Array:
    """Return the mean distance of each point to the five nearest others, (n,) float64."""
    wanted = min(NEAREST, len(points) - 1)
    found = np.empty(len(points))
    step = max(1, AT_ONCE // len(points))
    for start in range(0, len(points), step):
        squared = _squared(points[start : start + step], points)
        squared[np.arange(len(squared)), np.arange(start, start + len(squared))] = np.inf
        found[start : start + step] = np.sqrt(np.partition(squared, wanted - 1, axis=1)[:, :wanted]).mean(axis=1)
    return found


def _squared(one: Float32Array, other: Float32Array) -> Float64Array:
    """Return the squared distances of all pairs, (n, m) float64."""
    centre = other.mean(axis=0) if len(other) else np.float32(0)
    a, b = (one - centre).astype(np.float64), (other - centre).astype(np.float64)
    squared = (a * a).sum(axis=1)[:, None] - 2 * a @ b.T + (b * b).sum(axis=1)
    return np.asarray(np.maximum(squared, 0.0), np.float64)
