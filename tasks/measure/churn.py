"""Churn between versions, from sketches of the kept rows, which are published with each version."""

import numpy as np
from numpy.typing import NDArray

from evenkeel.infra.hashing import hash_identities
from evenkeel.tasks.distance.rows import SAMPLE_SEED


def hashes_of(identities: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return the hashes of row identities that sketches are made of, (n,) uint64."""
    return hash_identities(SAMPLE_SEED, identities)


def sketch(identities: NDArray[np.uint64], size: int) -> NDArray[np.uint64]:
    """Return the `size` smallest hashes of row identities, ascending uint64: a bottom-k sketch (Broder 1997)."""
    return smallest(hashes_of(identities), size)


def smallest(hashes: NDArray[np.uint64], size: int) -> NDArray[np.uint64]:
    """Return the `size` smallest of some hashes, ascending: the sketch of a union of sketched parts."""
    return np.unique(hashes)[:size]


def retained(previous: NDArray[np.uint64], current: NDArray[np.uint64], size: int) -> float:
    """Return the share of the previous rows that are kept again, in [0, 1].

    Exact where both sketches hold all their rows, else an estimate over the rows that both would have kept. NaN where
    the previous version had no rows.
    """
    limits = [sketched[-1] for sketched in (previous, current) if len(sketched) >= size]
    if limits:
        previous, current = (sketched[sketched <= min(limits)] for sketched in (previous, current))
    if not len(previous):
        return float("nan")
    return float(np.isin(previous, current, assume_unique=True).mean())


def in_both(one: NDArray[np.uint64], other: NDArray[np.uint64], share: float) -> int:
    """Return how many rows below a share of the hashes are in both sketches."""
    both = np.intersect1d(one, other, assume_unique=True)
    return int((both.astype(np.float64) * 2.0**-64 < share).sum())
