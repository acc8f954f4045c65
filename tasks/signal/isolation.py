"""An isolation forest: rows that random cuts part from all others early are outliers.

Liu, Ting and Zhou 2008. Every tree is grown on a sub-sample of 256 rows by cuts at a random place of a random
dimension, down to single rows or a depth of 8; the score of a row is 2^(-E[path length] / c), c being the mean path
length of an unsuccessful search in a binary tree of that many rows: near 1 for outliers, below 0.5 for rows in the
midst of others.
"""

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from evenkeel.infra.compiled import compiled
from evenkeel.infra.dtypes import Float32Array, Float64Array, Int32Array, Int64Array

ROWS_PER_TREE = 256
ROWS_PER_TILE = 16
EULER = 0.5772156649015329


class Forest(NamedTuple):
    """Trees one after the other; a node's children are left and left + 1, a leaf is its own left child.

    dimension: (nodes,) int32, to compare. threshold: (nodes,) float32, smaller goes left; infinite in a leaf. left:
    (nodes,) int32. length: (nodes,) float32, the path length of a row that ends here. roots: (trees,) int32.
    """

    dimension: Int32Array
    threshold: Float32Array
    left: Int32Array
    length: Float32Array
    roots: Int32Array


class CompleteTrees(NamedTuple):
    """Trees of one depth, level by level, so that the children of node i are 2i + 1 and 2i + 2.

    Below a leaf nothing is compared, and all ends have its path length. dimension: (trees, 2^depth - 1) uint32.
    threshold: the same shape, float32. length: (trees, 2^depth) float32.
    """

    dimension: npt.NDArray[np.uint32]
    threshold: Float32Array
    length: Float32Array


def fit_forest(x: Float32Array, trees: int, seed: int) -> Forest:
    """Grow a forest on (n, d) rows, n at least 2; the same rows in the same order and the same seed give the same."""
    rng = np.random.default_rng([seed, 0x150])
    size = min(ROWS_PER_TREE, len(x))
    rows = np.stack([rng.choice(len(x), size, replace=False) for _ in range(trees)])
    nodes = 2 * size - 1
    forest = Forest(
        np.zeros(trees * nodes, np.int32),
        np.full(trees * nodes, np.inf, np.float32),
        np.arange(trees * nodes, dtype=np.int32),
        np.zeros(trees * nodes, np.float32),
        np.arange(0, trees * nodes, nodes, dtype=np.int32),
    )
    lengths = np.array([_mean_path(count) for count in range(size + 1)])
    _grow(x, rows, rng.random((trees, nodes, 2)), _deepest(size), lengths, forest)
    return forest


def isolation(forest: Forest, x: Float32Array) -> Float64Array:
    """Return the isolation scores of (n, d) rows, (n,) float64 in (0, 1]."""
    total = np.zeros(len(x))
    size = (len(forest.dimension) // len(forest.roots) + 1) // 2
    _walk(np.ascontiguousarray(x), _complete(forest, _deepest(size)), total)
    scores: Float64Array = np.exp2(-total / len(forest.roots) / _mean_path(size))
    return scores


def _deepest(rows: int) -> int:
    """Return the depth of a balanced tree over so many rows."""
    return math.ceil(math.log2(max(rows, 2)))


def _mean_path(rows: int) -> float:
    """Return the mean path length of an unsuccessful search in a binary tree of so many rows."""
    if rows < 2:
        return 0.0
    return 1.0 if rows == 2 else 2 * (math.log(rows - 1) + EULER) - 2 * (rows - 1) / rows


@compiled
def _grow(
    x: Float32Array, rows: Int64Array, chances: Float64Array, deepest: int, lengths: Float64Array, forest: Forest
) -> None:
    """Grow a tree on each of rows (trees, size); chances: (trees, nodes, 2) uniform numbers, two for every cut."""
    dimension, threshold, left, length, roots = forest
    d, size = x.shape[1], rows.shape[1]
    least, greatest = np.empty(d, np.float32), np.empty(d, np.float32)
    node, depth = np.empty(2 * size, np.int64), np.empty(2 * size, np.int64)
    low, high = np.empty(2 * size, np.int64), np.empty(2 * size, np.int64)
    for tree in range(rows.shape[0]):
        mine = rows[tree].copy()
        node[0], low[0], high[0], depth[0] = roots[tree], 0, size, 0
        waiting, free = 1, roots[tree] + 1
        while waiting:
            waiting -= 1
            at, first, last, level = node[waiting], low[waiting], high[waiting], depth[waiting]
            length[at] = level + lengths[last - first]
            if last - first < 2 or level >= deepest:
                continue
            least[:] = x[mine[first]]
            greatest[:] = least
            for i in range(first + 1, last):
                row = x[mine[i]]
                for j in range(d):
                    least[j] = min(least[j], row[j])
                    greatest[j] = max(greatest[j], row[j])
            varied = 0
            for j in range(d):
                varied += least[j] < greatest[j]
            if varied == 0:
                continue
            draw = chances[tree, at - roots[tree]]
            wanted, chosen = int(draw[0] * varied), -1
            for j in range(d):
                if least[j] < greatest[j]:
                    if wanted == 0:
                        chosen = j
                        break
                    wanted -= 1
            cut = np.float32(least[chosen] + draw[1] * (np.float64(greatest[chosen]) - least[chosen]))
            if not (least[chosen] < cut <= greatest[chosen]):
                cut = greatest[chosen]
            middle = first
            for i in range(first, last):
                if x[mine[i], chosen] < cut:
                    mine[middle], mine[i] = mine[i], mine[middle]
                    middle += 1
            dimension[at], threshold[at], left[at] = chosen, cut, free
            for side in range(2):
                node[waiting], depth[waiting] = free + side, level + 1
                low[waiting], high[waiting] = (first, middle) if side == 0 else (middle, last)
                waiting += 1
            free += 2


def _complete(forest: Forest, depth: int) -> CompleteTrees:
    """Return the trees of a forest, level by level."""
    trees, inner = len(forest.roots), (1 << depth) - 1
    found = CompleteTrees(
        np.zeros((trees, inner), np.uint32),
        np.full((trees, inner), np.inf, np.float32),
        np.zeros((trees, inner + 1), np.float32),
    )
    _lay_out(forest, found)
    return found


@compiled
def _lay_out(forest: Forest, found: CompleteTrees) -> None:
    dimension, threshold, left, length, roots = forest
    inner = found.dimension.shape[1]
    at = np.empty(2 * inner + 1, np.int64)
    for tree in range(roots.shape[0]):
        at[0] = roots[tree]
        for place in range(inner):
            node = at[place]
            leaf = left[node] == node
            found.dimension[tree, place] = dimension[node]
            found.threshold[tree, place] = np.float32(np.inf) if leaf else threshold[node]
            at[2 * place + 1] = left[node]
            at[2 * place + 2] = node if leaf else left[node] + 1
        for end in range(inner + 1):
            found.length[tree, end] = length[at[inner + end]]


@compiled
def _walk(x: Float32Array, trees: CompleteTrees, total: Float64Array) -> None:
    """Add the path lengths of rows in all trees to total (n,).

    A few rows, copied side by side, go down a tree together, one level at a time: in this form the compiler does eight
    of them at once.
    """
    n, d = x.shape
    inner = np.uint32(trees.dimension.shape[1])
    one, two = np.uint32(1), np.uint32(2)
    at, begin = np.empty(ROWS_PER_TILE, np.uint32), np.empty(ROWS_PER_TILE, np.uint32)
    side_by_side = np.zeros(ROWS_PER_TILE * d, np.float32)
    for i in range(ROWS_PER_TILE):
        begin[i] = i * d
    for start in range(0, n, ROWS_PER_TILE):
        rows = min(ROWS_PER_TILE, n - start)
        for i in range(rows):
            for j in range(d):
                side_by_side[i * d + j] = x[start + i, j]
        for tree in range(trees.dimension.shape[0]):
            dimension, threshold, length = trees.dimension[tree], trees.threshold[tree], trees.length[tree]
            at[:] = 0
            level = one
            while level <= inner:
                for i in range(ROWS_PER_TILE):
                    node = at[i]
                    right = side_by_side[np.uint32(begin[i] + dimension[node])] >= threshold[node]
                    at[i] = two * node + one + np.uint32(right)
                level = level * two
            for i in range(rows):
                total[start + i] += length[at[i] - inner]
