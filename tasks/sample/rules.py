"""The candidate rules of the default strategy: ways to weigh the leaves of a hierarchy."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from tasks.sample.allocation import Allocation
from tasks.sample.plan import Candidates
from tasks.sample.structure import distances
from tasks.sample.tree import ClusterTree

MOST_NODES = 12_000
POWERS = (0.0, 1.0, 2.0, 4.0)
REACHES = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2)


def rules(candidates: Candidates) -> Iterator[tuple[str, Allocation]]:
    """Yield the name and the allocation of every candidate rule, random first.

    random: in proportion to size. flat: equal. sublinear-g: to size^g. radius-a: to radius^a, since a leaf that spans
    more space stands for more of it. spread-h-a: radius^a over the number of leaves within reach h (a Gaussian kernel),
    which undoes the crowding of leaves where rows are dense; ours. top-down, cut-t, degree-t: the equal split of the
    whole tree, of level t alone, and of level t in proportion to the root of the number of leaves below
    (Vo et al. 2024, and its degree-corrected forms).
    """
    tree = candidates.tree
    sizes = tree.sizes.astype(np.float64)
    yield "random", candidates.fill(sizes)
    yield "flat", candidates.fill()
    yield "top-down", candidates.descend()
    for power in (0.25, 0.5, 0.75):
        yield f"sublinear-{power:g}", candidates.fill(sizes**power)
    for level in range(2, tree.depth + 1):
        folded = replace(candidates, tree=ClusterTree(tree.sizes, (tree.ancestors(level).astype(np.int32),)))
        below = np.bincount(folded.tree.parents[0], minlength=tree.widths[level - 1]).astype(np.float64)
        yield f"cut-{level}", folded.descend()
        yield f"degree-{level}", folded.descend([None, np.sqrt(below)])
    radii = steady_radii(tree)
    for power in POWERS[1:]:
        yield f"radius-{power:g}", candidates.fill(radii**power)
    for reach, crowd in crowding(tree, candidates.seed):
        for power in POWERS:
            yield f"spread-{reach:g}-{power:g}", candidates.fill(radii**power / crowd)


def steady_radii(tree: ClusterTree) -> NDArray[np.float64]:
    """Return the radii of the leaves relative to their median, (k1,) float64; the tiny ones of small leaves raised."""
    radii = np.ones(tree.leaves) if tree.radii is None else tree.radii.astype(np.float64)
    held = radii[(tree.sizes > 1) & (radii > 0)]
    if not len(held):
        return np.ones(tree.leaves)
    return np.maximum(radii, np.quantile(held, 0.05)) / np.median(held)


def crowding(tree: ClusterTree, seed: int) -> Iterator[tuple[float, NDArray[np.float64]]]:
    """Yield reaches and the effective number of leaves within reach of every leaf, (k1,) float64 >= 1.

    A reach is a quantile of the distances between leaves. Beyond 12,000 leaves a leaf is compared with as many others,
    drawn at random, and itself.
    """
    if tree.centroids is None or tree.leaves < 3:
        return
    centroids = tree.centroids - tree.centroids.mean(axis=0)
    rng = np.random.default_rng(seed)
    marks = np.sort(rng.permutation(tree.leaves)[:MOST_NODES])
    some = distances(centroids[rng.permutation(tree.leaves)[:500]], centroids[marks])
    if not (some > 1e-6).any():
        return
    reaches = np.unique(np.quantile(some[some > 1e-6], REACHES))
    crowds = np.zeros((len(reaches), tree.leaves))
    stands_for = tree.leaves / len(marks)
    for start in range(0, tree.leaves, 2048):
        part = distances(centroids[start : start + 2048], centroids[marks])
        part *= part
        for place, reach in enumerate(reaches):
            crowds[place, start : start + 2048] = np.exp(part / np.float32(-2 * reach * reach)).sum(axis=1)
    for place, quantile in zip(range(len(reaches)), REACHES, strict=False):
        yield quantile, np.maximum(1.0, stands_for * crowds[place])
