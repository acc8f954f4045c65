"""Sums that come out the same in any order: numbers are brought to one scale as whole ones, and these are added.

A parallel sum of floats depends on how the device divides it up. Whole numbers of 62 bits less those of the count keep
about 40 bits of the largest, and their sum is exact.
"""

from typing import NamedTuple

import numpy as np

from evenkeel.infra.dtypes import Array, Float32Array, Float64Array, Int32Array, Int64Array
from evenkeel.tasks.kmeans.device.arrays import Arrays

BITS = 62


class Segments(NamedTuple):
    """Rows by label: those of g are order[starts[g]:starts[g + 1]], ascending; on the device, int64."""

    order: Int64Array
    starts: Int64Array


class Whole(NamedTuple):
    """Numbers as whole ones, (n,) int64, and how many of these make 1."""

    numbers: Int64Array
    scale: float


def segments_of(arrays: Arrays, labels: Int32Array, k: int) -> Segments:
    """Return the rows of each of k labels."""
    xp = arrays.xp
    order = xp.argsort(labels, kind="stable")
    starts = xp.searchsorted(labels[order], xp.arange(k + 1, dtype=xp.int32))
    return Segments(order.astype(xp.int64), starts.astype(xp.int64))


def counts_of(arrays: Arrays, labels: Int32Array, k: int) -> Int64Array:
    """Return how many of (n,) labels name each of k, (k,), on the host; CuPy 14.1 and before count no empty array."""
    found = arrays.xp.bincount(labels, minlength=k) if len(labels) else arrays.xp.zeros(k, np.int64)
    return arrays.get(found).astype(np.int64)


def whole(arrays: Arrays, values: Float32Array) -> Whole | None:
    """Return (n,) numbers >= 0 as whole ones, what is above 0 as 1 at least; None where all are 0."""
    xp = arrays.xp
    peak = float(values.max()) if len(values) else 0.0
    if not peak > 0:
        return None
    scale = scale_for(peak, len(values))
    return Whole(xp.ceil(values.astype(xp.float64) * scale).astype(xp.int64), scale)


def scale_for(peak: float, count: int) -> float:
    """Return how many whole ones make 1, so that `count` numbers up to `peak` have a sum below 2^62."""
    bits = BITS - int(np.ceil(np.log2(count + 1)))
    return float(2.0 ** (bits - np.frexp(peak)[1]))


def segment_totals(arrays: Arrays, values: Float32Array, segments: Segments) -> Float64Array:
    """Return the sum of (n,) finite numbers >= 0 of every segment, (k,) float64 on the device."""
    xp = arrays.xp
    found = whole(arrays, values)
    if found is None:
        return xp.zeros(len(segments.starts) - 1, xp.float64)  # type: ignore[no-any-return]
    prefix = running(arrays, found.numbers[segments.order])
    totals: Float64Array = (prefix[segments.starts[1:]] - prefix[segments.starts[:-1]]) / found.scale
    return totals


def running(arrays: Arrays, numbers: Int64Array) -> Int64Array:
    """Return 0 and the running sums of (n,) whole numbers, (n + 1,)."""
    xp = arrays.xp
    prefix: Int64Array = xp.zeros(len(numbers) + 1, xp.int64)
    prefix[1:] = xp.cumsum(numbers)
    return prefix


def draw(arrays: Arrays, numbers: Int64Array, uniform: Float64Array) -> Int64Array:
    """Draw rows in proportion to (n,) whole numbers, not all 0; uniform: (m,) in [0, 1). Return (m,) int64."""
    xp = arrays.xp
    prefix = xp.cumsum(numbers)
    aims = (uniform * prefix[-1].astype(xp.float64)).astype(xp.int64)
    return xp.searchsorted(prefix, xp.minimum(aims, prefix[-1] - 1), side="right")  # type: ignore[no-any-return]


def weighted(values: Float32Array, weights: Float32Array | None) -> Array:
    """Return (n,) numbers times the weights of their rows."""
    return values if weights is None else values * weights
