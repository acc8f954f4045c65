"""Sums of concave functions of what the chosen rows hold of every feature: information, entropy and coverage.

Sources. information: MIG (arXiv 2504.13835), phi(x) = (x + 1e-6)^0.8. entropy: the greedy maximum entropy sampler; a
set of fixed size has the largest entropy of features where -x log x, summed, is largest. coverage: the greedy cover of
Nemhauser, Wolsey and Fisher 1978, each feature up to so many times.
"""

import math
from collections.abc import Mapping

import numpy as np

from evenkeel.infra.compiled import compiled, inlined
from evenkeel.infra.dtypes import Float64Array, Int32Array, Int64Array
from evenkeel.tasks.sample.greedy.features import Features
from evenkeel.tasks.sample.greedy.gains import FeatureGain

SHAPES: Mapping[FeatureGain, int] = {"information": 0, "entropy": 1, "coverage": 2}
POWER, SHIFT, BEYOND = 0.8, 1e-6, 1e-6


class ConcaveSums:
    """The sum over features of phi(what the chosen rows hold of it).

    scale: of coverage, how often a feature counts; of entropy, the number of rows that will be chosen.
    """

    def __init__(self, rows: Features, features: int, shape: FeatureGain, scale: float = 1.0) -> None:
        self.rows, self.shape, self.scale = rows, SHAPES[shape], scale
        self.held = np.zeros(features)

    def gains(self) -> Float64Array:
        """Return what every row would add now, (n,) float64."""
        rows = self.rows
        found: Float64Array = _gains(rows.codes, rows.masses, rows.offsets, self.held, self.shape, self.scale)
        return found

    def gain(self, row: int) -> float:
        """Return what a row would add now."""
        rows = self.rows
        return float(_gain(row, rows.codes, rows.masses, rows.offsets, self.held, self.shape, self.scale))

    def add(self, row: int) -> None:
        """Add a row to the set."""
        part = slice(self.rows.offsets[row], self.rows.offsets[row + 1])
        self.held[self.rows.codes[part]] += self.rows.masses[part]


@inlined
def _phi(x: float, shape: int, scale: float) -> float:
    if shape == 0:
        return math.pow(x + SHIFT, POWER)
    if shape == 1:
        return -(x / scale) * math.log(x / scale) if x > 0 else 0.0
    return min(x, scale) + BEYOND * math.log1p(x)


@compiled
def _gain(
    row: int,
    codes: Int32Array,
    masses: Float64Array,
    offsets: Int64Array,
    held: Float64Array,
    shape: int,
    scale: float,
) -> float:
    total = 0.0
    for place in range(offsets[row], offsets[row + 1]):
        before = held[codes[place]]
        total += _phi(before + masses[place], shape, scale) - _phi(before, shape, scale)
    return total


@compiled
def _gains(
    codes: Int32Array, masses: Float64Array, offsets: Int64Array, held: Float64Array, shape: int, scale: float
) -> Float64Array:
    found = np.empty(len(offsets) - 1)
    for row in range(len(found)):
        found[row] = _gain(row, codes, masses, offsets, held, shape, scale)
    return found
