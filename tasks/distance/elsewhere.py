"""Sum up rows that come from elsewhere, as vectors some at a time: a target set, or texts embedded by a pool's map."""

from collections.abc import Iterable, Iterator

import numpy as np

from evenkeel.infra.dtypes import Float32Array, Int64Array
from evenkeel.tasks.cluster.hierarchy import Hierarchy
from evenkeel.tasks.distance.halves import HALVES, with_halves
from evenkeel.tasks.distance.rows import ROWS_PER_CHUNK
from evenkeel.tasks.distance.space import Features, Space
from evenkeel.tasks.distance.sums import SetSums
from evenkeel.tasks.signal.toward.clusters import count_leaves
from evenkeel.tasks.step import Run


def sum_parts(
    parts: Iterable[Float32Array], space: Space, hierarchy: Hierarchy, folder: str, run: Run
) -> tuple[SetSums, Int64Array]:
    """Return the sums over vectors and eight halves of them, 9 sets, and how many join each leaf, (leaves,) int64.

    parts: (n, d) each, read once. folder: for an index of the leaves, removed after.
    """
    features, total = Features.of(space), [SetSums.zero(1 + HALVES, 1, space.axes.shape[1])]

    def summed() -> Iterator[Float32Array]:
        for part in parts:
            total[0] = total[0].add(sum_vectors(part, features, int(total[0].rows[0])))
            yield part

    leaves = count_leaves(summed(), hierarchy, folder, run)
    return total[0], leaves


def sum_vectors(x: Float32Array, features: Features, first: int = 0) -> SetSums:
    """Return the sums over vectors (n, d) and eight halves of them, 9 sets; first: the number of the first vector."""
    total = SetSums.zero(1 + HALVES, 1, features.axes.shape[1])
    for start in range(0, len(x), ROWS_PER_CHUNK):
        part = x[start : start + ROWS_PER_CHUNK]
        number = np.arange(first + start, first + start + len(part), dtype=np.uint64)
        copies = with_halves(np.ones(len(part), np.int64), number)
        total = total.add(SetSums.of(*features(part), copies, number, 1))
    return total
