"""Coordinated random numbers: the same row gets the same number in every run with the same seed."""

import numpy as np
from numpy.typing import NDArray

GOLDEN = np.uint64(0x9E3779B97F4A7C15)
FIRST, SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)


def state(seed: int) -> np.uint64:
    """Return the state that the numbers of a seed are hashed from."""
    with np.errstate(over="ignore"):
        return np.uint64(_finalise(np.uint64(seed & 0xFFFFFFFFFFFFFFFF) * GOLDEN + GOLDEN))


def hash_identities(seed: int, identity: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return a uniform 64-bit hash of (seed, identity), (n,) uint64.

    The finaliser of SplitMix64 (Steele, Lea, Flood 2014), applied twice so that near seeds give unrelated orders.
    """
    with np.errstate(over="ignore"):
        return _finalise(np.asarray(identity, dtype=np.uint64) ^ state(seed))


def uniform(seed: int, identity: NDArray[np.uint64]) -> NDArray[np.float64]:
    """Return `hash_identities(seed, identity)` as numbers strictly between 0 and 1, (n,) float64."""
    return ((hash_identities(seed, identity) >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53


def _finalise(z: NDArray[np.uint64] | np.uint64) -> NDArray[np.uint64]:
    z = (z ^ (z >> np.uint64(30))) * FIRST
    z = (z ^ (z >> np.uint64(27))) * SECOND
    return np.asarray(z ^ (z >> np.uint64(31)))
