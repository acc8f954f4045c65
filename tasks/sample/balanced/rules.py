"""The candidate rules of the strategy `balanced`: ways to weight the leaves of a hierarchy."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from evenkeel.tasks.sample.problem import SamplingProblem
from evenkeel.tasks.sample.quotas.allocation import Allocation
from evenkeel.tasks.sample.quotas.tree import ClusterTree

POWERS = (0.0, 1.0, 2.0, 4.0)


def rules(problem: SamplingProblem) -> Iterator[tuple[str, Allocation]]:
    """Yield the name and the allocation of every candidate rule, random first.

    random: in proportion to size. flat: equal. sublinear-g: to size^g. radius-a: to radius^a, since a leaf that spans
    more space represents more of it. spread-h-a: to radius^a over the kernel density of leaves at bandwidth h, which
    compensates for regions with many leaves; ours. top-down, cut-t, degree-t: the equal split of the whole tree, of
    level t alone, and of level t in proportion to the square root of the number of leaves below (Vo et al. 2024, and
    its degree-corrected forms).
    """
    tree = problem.tree
    sizes = tree.sizes.astype(np.float64)
    yield "random", problem.fill(sizes)
    yield "flat", problem.fill()
    yield "top-down", problem.descend()
    for power in (0.25, 0.5, 0.75):
        yield f"sublinear-{power:g}", problem.fill(sizes**power)
    for level in range(2, tree.depth + 1):
        folded = replace(problem, tree=ClusterTree(tree.sizes, (tree.ancestors(level).astype(np.int32),)))
        below = np.bincount(folded.tree.parents[0], minlength=tree.widths[level - 1]).astype(np.float64)
        yield f"cut-{level}", folded.descend()
        yield f"degree-{level}", folded.descend([None, np.sqrt(below)])
    radii = steady_radii(tree)
    for power in POWERS[1:]:
        yield f"radius-{power:g}", problem.fill(radii**power)
    for bandwidth, density in problem.densities.items():
        for power in POWERS:
            yield f"spread-{bandwidth:g}-{power:g}", problem.fill(radii**power / density)


def steady_radii(tree: ClusterTree) -> NDArray[np.float64]:
    """Return the radii of the leaves relative to their median, (k1,) float64, with a lower bound for tiny leaves."""
    radii = np.ones(tree.leaves) if tree.radii is None else tree.radii.astype(np.float64)
    held = radii[(tree.sizes > 1) & (radii > 0)]
    if not len(held):
        return np.ones(tree.leaves)
    return np.maximum(radii, np.quantile(held, 0.05)) / np.median(held)
