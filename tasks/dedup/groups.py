"""From similar pairs to groups: who stands for whom."""

from typing import Any

import numba
import numpy as np
import numpy.typing as npt

PARTNERS = 32
Rows = npt.NDArray[np.int64]


def bucket_pairs(bucket: npt.NDArray[np.uint64], row: Rows) -> Rows:
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


def cover(rows: int, pairs: Rows, similarity: npt.NDArray[np.float32]) -> tuple[Rows, npt.NDArray[np.float32]]:
    """Return for each row the row that stands for it (itself where kept) and their similarity.

    Rows are numbered best first. Each in turn is kept unless a kept row is similar to it: no two kept rows are a pair,
    and every dropped row is a pair with the row that stands for it.
    """
    low, high = pairs.min(axis=1), pairs.max(axis=1)
    order = np.lexsort((low, high))
    stands, closest = _cover(rows, low[order], high[order], similarity[order])
    return stands, closest


def link(rows: int, pairs: Rows) -> Rows:
    """Return for each row the best row of its connected component. Rows are numbered best first."""
    stands = np.arange(rows)
    _link(stands, pairs)
    return stands


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
    stands = np.arange(rows)
    closest = np.ones(rows, np.float32)
    for pair in range(len(low)):
        better, worse = low[pair], high[pair]
        if stands[better] == better and (stands[worse] == worse or similarity[pair] > closest[worse]):
            stands[worse], closest[worse] = better, similarity[pair]
    return stands, closest


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _link(stands: Any, pairs: Any) -> None:
    for pair in range(len(pairs)):
        one, other = pairs[pair, 0], pairs[pair, 1]
        while stands[one] != one:
            stands[one] = stands[stands[one]]
            one = stands[one]
        while stands[other] != other:
            stands[other] = stands[stands[other]]
            other = stands[other]
        if one < other:
            stands[other] = one
        elif other < one:
            stands[one] = other
    for row in range(len(stands)):
        stands[row] = stands[stands[row]]
