"""Bounds on a finished clustering: no leaf too large, no parent with too many children."""

import numpy as np

from evenkeel.infra.dtypes import Float32Array, Int32Array
from evenkeel.tasks.kmeans.engine import Engine
from evenkeel.tasks.kmeans.options import Fit, Options

ROUNDS = 32
SPLITTING = Options(iterations=10, tolerance=1e-3, seeding="k-means++")


def bound_sizes(engine: Engine, fit: Fit, max_rows: int, rng: np.random.Generator) -> Fit:
    """Split every cluster of more than `max_rows` rows until none is left; k grows by what it takes.

    A cluster of equal rows cannot be split by any centroid and stays whole. Each is split where the rows are.
    """
    centroids, labels, iterations = engine.home(fit.centroids), engine.home(fit.labels), fit.iterations
    whole: set[int] = set()
    for _ in range(ROUNDS):
        sizes = np.bincount(labels, minlength=len(centroids))
        large = [int(g) for g in np.flatnonzero(sizes > max_rows) if int(g) not in whole]
        if not large:
            break
        added: list[Float32Array] = []
        grown = len(centroids)
        for g in large:
            index = np.flatnonzero(labels == g)
            part = engine.part(index)
            seeds = part.seed(int(-(-len(index) // max_rows)), SPLITTING.seeding, rng)
            if len(seeds) == 1:
                whole.add(g)
                continue
            found = part.fit(seeds, SPLITTING, rng)
            parts, split = part.home(found.centroids), part.home(found.labels)
            centroids[g] = parts[0]
            labels[index] = np.where(split == 0, g, grown - 1 + split).astype(np.int32)
            added.append(parts[1:])
            grown += len(parts) - 1
        centroids = np.concatenate([centroids, *added])
    return Fit(engine.place(centroids), engine.place(labels), iterations)


def bound_children(children: Float32Array, parents: Int32Array, centroids: Float32Array, ratio: float) -> Int32Array:
    """Return parents, (k,) int32, such that none has more than `ratio` times the mean number of children.

    The children that lose least by it move first, each to its nearest parent that may take one more (the delete and
    insert steps of the fair-hierarchy repairs, arXiv 2205.14198 and 2311.12501). children: (k, d). centroids: (K, d)
    of the parents.
    """
    repaired = parents.copy()
    max_children = max(1, int(ratio * len(children) / len(centroids)))
    counts = np.bincount(repaired, minlength=len(centroids))
    for g in np.flatnonzero(counts > max_children):
        index = np.flatnonzero(repaired == g)
        squared = ((children[index, None] - centroids[None]) ** 2).sum(axis=2, dtype=np.float64)
        own = squared[:, g].copy()
        squared[:, counts >= max_children] = np.inf
        for at in np.argsort(squared.min(axis=1) - own, kind="stable"):
            if counts[g] <= max_children:
                break
            target = int(np.argmin(np.where(counts < max_children, squared[at], np.inf)))
            if target == g or not np.isfinite(squared[at, target]) or counts[target] >= max_children:
                continue
            repaired[index[at]] = target
            counts[target] += 1
            counts[g] -= 1
    return repaired
