"""Ward linkage: the two clusters whose union adds least to the inertia merge, again and again (Ward 1963).

Within 10,000 points the merges are exact, found along chains of nearest neighbours (Murtagh 1983) from centroids and
weights alone, so memory is n x d and never n x n. More points are parted into groups by k-means first; each group is
merged on its own, and the cheapest merges of all groups come first.
"""

from dataclasses import dataclass

import numpy as np

from evenkeel.infra.dtypes import Float32Array, Float64Array, Int32Array, Int64Array
from evenkeel.tasks.kmeans.bounds import bound_sizes
from evenkeel.tasks.kmeans.engine import open_engine
from evenkeel.tasks.kmeans.kernels import kernel
from evenkeel.tasks.kmeans.options import Device, Options
from evenkeel.tasks.kmeans.parallel import parallel_for, thread_count
from evenkeel.tasks.kmeans.prepare import prepare

EXACT_UP_TO = 10_000
GROUP_SIZE = 2_000
GROUPING = Options(iterations=6, tolerance=1e-2)


@dataclass(frozen=True)
class Merges:
    """Merges in the order of their heights, over n points.

    pairs: (m, 2) int64, a point of either side. heights: (m,) float64, by how much the merge raises the inertia.
    """

    pairs: Int64Array
    heights: Float64Array


def ward_labels(x: Float32Array, weights: Float64Array, k: int, device: Device, seed: int) -> Int32Array:
    """Return labels, (n,) int32 in 0..k, of (n, d) weighted points merged until k clusters are left.

    Clusters are numbered by their first point. seed: of the groups into which more than 10,000 points are parted.
    """
    rows = _prepared(x, device)
    labels, points, masses = _merged_until(rows, weights, max(k, EXACT_UP_TO), device, seed)
    return labels if len(points) <= k else cut(ward_merges(points, masses), len(points), k)[labels]


def ward_heights(x: Float32Array, weights: Float64Array, device: Device, seed: int) -> Float64Array:
    """Return by how much each of the last merges raises the inertia, ascending: all of up to 10,000 points, or of those
    10,000 that more points are merged to first.
    """
    _, points, masses = _merged_until(_prepared(x, device), weights, EXACT_UP_TO, device, seed)
    return ward_merges(points, masses).heights


def _prepared(x: Float32Array, device: Device) -> Float32Array:
    return prepare(x, None, "euclidean", thread_count(device.threads)).x


def _merged_until(
    rows: Float32Array, weights: Float64Array, most: int, device: Device, seed: int
) -> tuple[Int32Array, Float32Array, Float64Array]:
    """Merge within groups until at most `most` clusters are left; return labels, (n,), and their means and weights."""
    labels = np.arange(len(rows), dtype=np.int32)
    while True:
        points, masses = means_of(rows, weights, labels)
        left = len(points)
        if left <= most:
            return labels, points, masses
        merges = _grouped_merges(points, masses, device, seed)
        until = max(most, left // 10, left - len(merges.heights))
        labels = cut(merges, left, until)[labels]
        seed += 1


def means_of(x: Float32Array, weights: Float64Array, labels: Int32Array) -> tuple[Float32Array, Float64Array]:
    """Return the weighted means, (k, d), and summed weights, (k,), of points by label; sums are float64."""
    k = int(labels.max()) + 1
    masses = np.bincount(labels, weights=weights, minlength=k).astype(np.float64)
    sums = np.zeros((k, x.shape[1]))
    _add_by_label(x, weights, labels, sums)
    return (sums / masses[:, None]).astype(np.float32), masses


def ward_merges(x: Float32Array, weights: Float64Array) -> Merges:
    """Return the n - 1 merges of (n, d) points, exactly."""
    n = len(x)
    pairs, heights = np.empty((max(n - 1, 0), 2), np.int64), np.empty(max(n - 1, 0))
    _chain(np.array(x, np.float32, order="C"), np.array(weights, np.float64), pairs, heights)
    order = np.argsort(heights, kind="stable")
    return Merges(pairs[order], heights[order])


def cut(merges: Merges, n: int, k: int) -> Int32Array:
    """Return labels, (n,) int32, after the first n - k merges; clusters are numbered by their first point."""
    roots = np.arange(n)
    _join(merges.pairs[: n - k], roots)
    return np.unique(roots, return_inverse=True)[1].astype(np.int32)


def ward_seconds(n: int, dimension: int) -> float:
    """Return the CPU-seconds of merging n points: each is compared with about one and a half times all of its group."""
    exact = min(n, EXACT_UP_TO) ** 2
    grouped = n * GROUP_SIZE if n > EXACT_UP_TO else 0
    return 1.2e-10 * dimension * (exact + grouped)


def _grouped_merges(x: Float32Array, weights: Float64Array, device: Device, seed: int) -> Merges:
    """Return merges within groups of about 2,000 neighbouring points, at most 10,000, the cheapest first."""
    rng = np.random.default_rng([seed, 3])
    threads = thread_count(device.threads)
    engine = open_engine(x, -(-len(x) // GROUP_SIZE), GROUPING, rng, device=Device(threads))
    seeds = engine.seed(-(-len(x) // GROUP_SIZE), "random", rng)
    fit = bound_sizes(engine, engine.fit(seeds, GROUPING, rng), EXACT_UP_TO // 2, rng)
    groups = [engine.order[fit.labels == group] for group in range(len(fit.centroids))]

    def merge(first: int, last: int) -> list[Merges]:
        found = []
        for group in groups[first:last]:
            merges = ward_merges(x[group], weights[group])
            found.append(Merges(group[merges.pairs], merges.heights))
        return found

    parts = [part for done in parallel_for(merge, len(groups), threads, 1) for part in done]
    heights = np.concatenate([part.heights for part in parts])
    order = np.argsort(heights, kind="stable")
    return Merges(np.concatenate([part.pairs for part in parts])[order], heights[order])


@kernel
def _add_by_label(x: Float32Array, weights: Float64Array, labels: Int32Array, sums: Float64Array) -> None:
    """Add weight times row to the sum of its label."""
    for i in range(x.shape[0]):
        weight, row, total = weights[i], x[i], sums[labels[i]]
        for j in range(x.shape[1]):
            total[j] += weight * row[j]


@kernel
def _chain(x: Float32Array, weights: Float64Array, pairs: Int64Array, heights: Float64Array) -> None:
    """Write all merges; x and weights are used up: a merged cluster takes the place of the first of the two."""
    n, d = x.shape
    live, place = np.arange(n), np.arange(n)
    chain = np.empty(n + 1, np.int64)
    length, left = 0, n
    for merge in range(n - 1):
        if length == 0:
            chain[0] = live[0]
            length = 1
        while True:
            a = chain[length - 1]
            if weights[a] == 0.0 or length > n or (length > 1 and weights[chain[length - 2]] == 0.0):
                chain[0] = live[0]  # rounding has made the chain visit a cluster twice
                length = 1
                continue
            best, nearest = np.inf, -1
            if length > 1:
                nearest = chain[length - 2]
                best = _rise(x, weights, a, nearest)
            for at in range(left):
                b = live[at]
                if b != a:
                    rise = _rise(x, weights, a, b)
                    if rise < best:
                        best, nearest = rise, b
            if length > 1 and nearest == chain[length - 2]:
                break
            chain[length] = nearest
            length += 1
        length -= 2
        kept, gone = min(a, nearest), max(a, nearest)
        pairs[merge, 0], pairs[merge, 1], heights[merge] = kept, gone, best
        total = weights[kept] + weights[gone]
        share = weights[gone] / total
        for j in range(d):
            x[kept, j] += np.float32(share * (np.float64(x[gone, j]) - x[kept, j]))
        weights[kept], weights[gone] = total, 0.0
        left -= 1
        last, hole = live[left], place[gone]
        live[hole], place[last] = last, hole


@kernel
def _rise(x: Float32Array, weights: Float64Array, a: int, b: int) -> np.float64:
    """Return by how much the inertia rises where clusters a and b merge."""
    total = np.float32(0)
    for j in range(x.shape[1]):
        gap = x[a, j] - x[b, j]
        total += gap * gap
    rise: np.float64 = np.float64(total) * (weights[a] * weights[b] / (weights[a] + weights[b]))
    return rise


@kernel
def _join(pairs: Int64Array, roots: Int64Array) -> None:
    """Union the pairs; every point then has the first point of its cluster in roots (n,)."""
    for at in range(pairs.shape[0]):
        a, b = pairs[at, 0], pairs[at, 1]
        while roots[a] != a:
            roots[a] = roots[roots[a]]
            a = roots[a]
        while roots[b] != b:
            roots[b] = roots[roots[b]]
            b = roots[b]
        if a < b:
            roots[b] = a
        else:
            roots[a] = b
    for i in range(roots.shape[0]):
        roots[i] = roots[roots[i]]
