"""Count, mean, spread and range of a column in every group, summed over blocks without loss of digits."""

from functools import partial
from typing import NamedTuple

import numpy as np

from evenkeel.infra.dtypes import Float64Array, Int32Array
from evenkeel.tasks.signal.groups import numbers_of, read_groups
from evenkeel.tasks.signal.source import SignalSource
from evenkeel.tasks.step import Run


class Moments(NamedTuple):
    """Of every group, (groups,) float64 each. squares: of distances to the mean. least > greatest where rows is 0."""

    rows: Float64Array
    mean: Float64Array
    squares: Float64Array
    least: Float64Array
    greatest: Float64Array

    def deviation(self) -> Float64Array:
        """Return the standard deviation of every group, (groups,) float64, 0 for a group without rows."""
        return np.sqrt(self.squares / np.maximum(self.rows, 1))


def moments_of(numbers: Float64Array, codes: Int32Array, groups: int) -> Moments:
    """Return the moments of numbers, (n,), by group; NaN counts nowhere. codes: (n,) int32."""
    there = ~np.isnan(numbers)
    numbers, codes = numbers[there], codes[there]
    rows = np.bincount(codes, minlength=groups).astype(np.float64)
    mean = np.bincount(codes, numbers, groups).astype(np.float64) / np.maximum(rows, 1)
    squares = np.bincount(codes, (numbers - mean[codes]) ** 2, groups).astype(np.float64)
    least, greatest = np.full(groups, np.inf), np.full(groups, -np.inf)
    np.minimum.at(least, codes, numbers)
    np.maximum.at(greatest, codes, numbers)
    return Moments(rows, mean, squares, least, greatest)


def add_moments(one: Moments, other: Moments) -> Moments:
    """Return the moments of two parts together (Chan, Golub and LeVeque 1979)."""
    rows = one.rows + other.rows
    gap, share = other.mean - one.mean, other.rows / np.maximum(rows, 1)
    return Moments(
        rows,
        np.where(one.rows > 0, one.mean + gap * share, other.mean),
        one.squares + other.squares + gap**2 * one.rows * share,
        np.minimum(one.least, other.least),
        np.maximum(one.greatest, other.greatest),
    )


def fit_moments(source: SignalSource, column: str, folder: str, run: Run) -> Moments:
    """Return the moments of a column of the whole pool, by the groups in a folder."""
    found = run.compute.reduce(
        partial(_moments_of_block, source, column, folder), add_moments, source.blocks, work=source.pool.rows * 24
    )
    return (
        found if found is not None else moments_of(np.empty(0), np.empty(0, np.int32), len(read_groups(folder).values))
    )


def _moments_of_block(source: SignalSource, column: str, folder: str, block: str) -> Moments:
    groups = read_groups(folder)
    table = source.columns(block, [column, *groups.columns])
    numbers = numbers_of(table[column], column, source.where)
    return moments_of(numbers, groups.codes(table), len(groups.values))
