"""From similar pairs to groups: which row represents which."""

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from evenkeel.infra.compiled import compiled
from evenkeel.infra.dtypes import Float32Array, Int64Array, UInt64Array

PARTNERS = 32


def bucket_pairs(bucket: UInt64Array, row: Int64Array) -> Int64Array:
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


def direct_representatives(rows: int, pairs: Int64Array, similarity: Float32Array) -> tuple[Int64Array, Float32Array]:
    """Return the representative of each row (itself where kept) and how similar it is.

    Rows are numbered best first. Each in turn is kept unless a kept row is similar to it: no two kept rows are a pair,
    and every dropped row is a pair with its representative.
    """
    low, high = pairs.min(axis=1), pairs.max(axis=1)
    order = np.lexsort((low, high))
    return _choose_direct(rows, low[order], high[order], similarity[order])


def linked_representatives(rows: int, pairs: Int64Array) -> Int64Array:
    """Return the best row of each row's connected component. Rows are numbered best first."""
    linked = coo_array((np.ones(len(pairs), np.bool_), (pairs[:, 0], pairs[:, 1])), shape=(rows, rows))
    number, component = connected_components(linked, directed=False)
    best = np.full(number, rows)
    np.minimum.at(best, component, np.arange(rows))
    found: Int64Array = best[component]
    return found


@compiled
def _bucket_pairs(row: Int64Array, before: Int64Array, partners: int, pairs: Int64Array) -> None:
    used = 0
    for at in range(len(row)):
        first = at - before[at]
        for place in range(first, min(first + partners, at)):
            pairs[used, 0], pairs[used, 1] = row[place], row[at]
            used += 1
        for place in range(max(at - partners, first + partners), at):
            pairs[used, 0], pairs[used, 1] = row[place], row[at]
            used += 1


@compiled
def _choose_direct(
    rows: int, low: Int64Array, high: Int64Array, similarity: Float32Array
) -> tuple[Int64Array, Float32Array]:
    """Choose representatives; pairs come sorted by the worse row, so all better rows are decided before it."""
    representative = np.arange(rows)
    closest = np.ones(rows, np.float32)
    for pair in range(len(low)):
        better, worse = low[pair], high[pair]
        undecided = representative[worse] == worse
        if representative[better] == better and (undecided or similarity[pair] > closest[worse]):
            representative[worse], closest[worse] = better, similarity[pair]
    return representative, closest
