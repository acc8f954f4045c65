"""Bounds on a finished clustering: no leaf too large, no parent with too many children."""

import numpy as np
import numpy.typing as npt

from evenkeel.tasks.kmeans.engine import Engine
from evenkeel.tasks.kmeans.lloyd import Labels
from evenkeel.tasks.kmeans.prepare import Floats

Ints = npt.NDArray[np.int32]
ROUNDS = 32


def bound_sizes(
    engine: Engine, centroids: Floats, labels: Labels, most: int, rng: np.random.Generator
) -> tuple[Floats, Labels]:
    """Split every cluster of more than `most` rows until none is left: (centroids, labels), k grows by what it takes.

    A cluster of equal rows cannot be told apart by any centroid and stays whole.
    """
    whole: set[int] = set()
    for _ in range(ROUNDS):
        sizes = np.bincount(labels, minlength=len(centroids))
        large = [int(g) for g in np.flatnonzero(sizes > most) if int(g) not in whole]
        if not large:
            break
        added: list[Floats] = []
        grown = len(centroids)
        for g in large:
            index = np.flatnonzero(labels == g)
            part = Engine(engine.rows.take(index), index, None)
            parts = part.seed(int(-(-len(index) // most)), "k-means++", rng)
            if len(parts) == 1:
                whole.add(g)
                continue
            parts, split, _ = part.fit(parts, None, 10, 1e-3, rng, None)
            centroids[g] = parts[0]
            labels[index] = np.where(split == 0, g, grown - 1 + split).astype(np.int32)
            added.append(parts[1:])
            grown += len(parts) - 1
        centroids = np.concatenate([centroids, *added])
    return centroids, labels


def bound_children(children: Floats, parents: Ints, centroids: Floats, ratio: float) -> Ints:
    """Return parents, (k,) int32, of (k, d) children such that none has more than `ratio` times the mean number.

    The children that lose least by it move first, each to its nearest parent with room (the delete and insert steps of
    the fair-hierarchy repairs, arXiv 2205.14198 and 2311.12501). children: (k, d); centroids: (K, d) of the parents.
    """
    repaired = parents.copy()
    most = max(1, int(ratio * len(children) / len(centroids)))
    counts = np.bincount(repaired, minlength=len(centroids))
    for g in np.flatnonzero(counts > most):
        index = np.flatnonzero(repaired == g)
        squared = ((children[index, None] - centroids[None]) ** 2).sum(axis=2, dtype=np.float64)
        own = squared[:, g].copy()
        squared[:, counts >= most] = np.inf
        for at in np.argsort(squared.min(axis=1) - own, kind="stable"):
            if counts[g] <= most:
                break
            target = int(np.argmin(np.where(counts < most, squared[at], np.inf)))
            if target == g or not np.isfinite(squared[at, target]) or counts[target] >= most:
                continue
            repaired[index[at]] = target
            counts[target] += 1
            counts[g] -= 1
    return repaired
