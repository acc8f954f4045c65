"""Look values up in a sorted array."""

import numpy as np

from evenkeel.infra.dtypes import Array, BoolArray, Int64Array


def find_sorted(ascending: Array, values: Array) -> tuple[Int64Array, BoolArray]:
    """Return where each value is in `ascending`, (n,) int64, and whether it is there, (n,) bool."""
    if not len(ascending):
        return np.zeros(len(values), np.int64), np.zeros(len(values), np.bool_)
    at = np.minimum(np.searchsorted(ascending, values), len(ascending) - 1)
    return at, np.asarray(ascending[at] == values)
