"""Similar pairs become duplicate groups, each with one representative."""

from typing import Any

import numba
import numpy as np
import numpy.typing as npt
from scipy import sparse
from scipy.sparse.csgraph import connected_components

PARTNERS = 32
Indices = npt.NDArray[np.int64]


def bucket_pairs(bucket: npt.NDArray[np.uint64], row: Indices) -> Indices:
    """Return (pairs, 2) int64 of rows that share a bucket, better row first.

    Rows come sorted by bucket, best row first. Up to 33 rows: all pairs. A fuller bucket: every row with the 32 best of
    the bucket and with the 32 right before it, so that the pairs grow with the rows, not with their square.
    """
    new = np.flatnonzero(np.append(True, bucket[1:] != bucket[:-1])) if len(bucket) else np.empty(0, np.int64)
    first = np.repeat(new, np.diff(np.append(new, len(bucket))))
    before = np.arange(len(bucket)) - first
    counts = np.minimum(before, PARTNERS) + np.clip(before - PARTNERS, 0, PARTNERS)
    pairs = np.empty((int(counts.sum()), 2), np.int64)
    _bucket_pairs(row, before, PARTNERS, pairs)
    return pairs


def cover(rows: int, pairs: Indices, similarity: npt.NDArray[np.float32]) -> tuple[Indices, npt.NDArray[np.float32]]:
    """Return the representative of each row (itself where kept) and their similarity.

    Rows are numbered best first. Each in turn is kept unless a kept row is similar to it: no two kept rows are a pair,
    and every dropped row is a pair with its representative.
    """
    low, high = pairs.min(axis=1), pairs.max(axis=1)
    order = np.lexsort((low, high))
    representative, closest = _cover(rows, low[order], high[order], similarity[order])
    return representative, closest


def link(rows: int, pairs: Indices) -> Indices:
    """Return for each row the best row of its connected component. Rows are numbered best first."""
    graph = sparse.coo_matrix((np.ones(len(pairs), bool), (pairs[:, 0], pairs[:, 1])), (rows, rows))
    component = connected_components(graph, directed=False)[1]
    best: Indices = np.unique(component, return_index=True)[1]
    representative: Indices = best[component]
    return representative


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _bucket_pairs(row: Any, before: Any, partners: int, pairs: Any) -> None:
    used = 0
    for at in range(len(row)):
        first = at - before[at]
        for place in range(first, min(first + partners, at)):
            pairs[used, 0], pairs[used, 1] = row[place], row[at]
            used += 1
        for place in range(max(at - partners, first + partners), at):
            pairs[used, 0], pairs[used, 1] = row[place], row[at]
            used += 1


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _cover(rows: int, low: Any, high: Any, similarity: Any) -> Any:
    """Pairs come sorted by the worse row: when it is reached, all better rows are decided."""
    representative = np.arange(rows)
    closest = np.ones(rows, np.float32)
    for pair in range(len(low)):
        better, worse = low[pair], high[pair]
        if representative[better] == better and (representative[worse] == worse or similarity[pair] > closest[worse]):
            representative[worse], closest[worse] = better, similarity[pair]
    return representative, closest
