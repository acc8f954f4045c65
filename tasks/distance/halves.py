"""Random halves of a set: how far they are apart tells how far sampling noise sets two draws apart."""

from collections.abc import Sequence

import numpy as np

from evenkeel.infra.dtypes import Float64Array, Int64Array, UInt64Array
from evenkeel.tasks.distance.measures import frechet_distances
from evenkeel.tasks.distance.sums import SIGN_SEED, SIGNS, SetSummary, SetSums, bits

HALVES = 8


def halves_of(copies: Int64Array, identity: UInt64Array) -> Int64Array:
    """Return the copies of rows (n,) in eight random halves of their set, (n, 8) int64, by their identity alone."""
    return bits(SIGN_SEED, identity)[:, SIGNS : SIGNS + HALVES] * copies[:, None]


def with_halves(copies: Int64Array, identity: UInt64Array) -> Int64Array:
    """Return the copies of rows (n,) in their set and in eight halves of it, (n, 9) int64."""
    return np.concatenate([copies[:, None], halves_of(copies, identity)], axis=1)


def frechet_of_halves(found: SetSums, whole: int, halves: Sequence[int], other: float) -> Float64Array:
    """Return the squared Frechet distances of halves of a set from its other halves, (8,) float64 or fewer.

    Halves of n rows are apart as two draws of n / 2 are, which is more than draws of n and of m >= n / 3 rows are; for
    fewer the distances are enlarged. other: m.
    """
    total = found.summary(whole)
    enlarged = max(1.0, (1 + total.rows / other) / 4) if other else 1.0
    apart = []
    for half in halves:
        one = found.summary(half)
        rest = SetSummary(
            total.rows - one.rows,
            total.squares - one.squares,
            total.waves - one.waves,
            total.sums - one.sums,
            total.products - one.products,
            float("nan"),
        )
        if one.rows and rest.rows:
            apart.append(float(frechet_distances([one], rest)[0]))
    return enlarged * np.array(apart)
