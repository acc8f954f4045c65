"""Sums over the rows of sets, which add up over blocks: all that distances between sets are computed from."""

from typing import NamedTuple

import numpy as np

from evenkeel.infra.dtypes import BoolArray, Float64Array, Int64Array, UInt64Array
from evenkeel.infra.hashing import hash_identities
from evenkeel.tasks.distance.space import FEATURES
from evenkeel.tasks.signal.toward.frechet import Moments

SIGNS, SIGN_SEED = 16, 0x7369676E


class SetSummary(NamedTuple):
    """The sums over the rows of one set.

    rows: with copies. squares: the sum of squared copies. waves: (512,) float64, of random Fourier features. sums:
    (r,), products: (r, r) float64, of places on the axes. noise: the trace of the squared covariance of the features,
    by which the distance of two draws of one set spreads; NaN where it was not estimated.
    """

    rows: float
    squares: float
    waves: Float64Array
    sums: Float64Array
    products: Float64Array
    noise: float

    @property
    def kinship(self) -> float:
        """Return the mean kernel of two different rows, unbiased; 1 where all are one row."""
        pairs = self.rows**2 - self.squares
        found = (float(self.waves @ self.waves) - self.squares) / pairs if pairs > 0 else 1.0
        return min(max(found, 0.0), 1.0)


class SetSums(NamedTuple):
    """The sums over the rows of k sets, of which the first s are signed.

    rows: (k,) float64, with copies. pairs: (k, k) float64, over rows, of the copies in one set by those in the other.
    waves: (k, 512), sums: (k, r), products: (k, r, r) float64. signs: (s, 16, 512), tilts: (s, 16) float64: the sums of
    features, and of ones, with random signs.
    """

    rows: Float64Array
    pairs: Float64Array
    waves: Float64Array
    sums: Float64Array
    products: Float64Array
    signs: Float64Array
    tilts: Float64Array

    @classmethod
    def zero(cls, sets: int, signed: int, axes: int) -> "SetSums":
        """Return the sums of no rows."""
        shapes = [(sets,), (sets, sets), (sets, FEATURES), (sets, axes), (sets, axes, axes)]
        return cls(*(np.zeros(shape) for shape in [*shapes, (signed, SIGNS, FEATURES), (signed, SIGNS)]))

    @classmethod
    def of(
        cls, features: Float64Array, places: Float64Array, copies: Int64Array, identity: UInt64Array, signed: int
    ) -> "SetSums":
        """Return the sums over some rows. features: (n, 512), places: (n, r), copies: (n, k), identity: (n,)."""
        weights = copies.astype(np.float64)
        found = cls.zero(copies.shape[1], signed, places.shape[1])
        found.rows[:], found.pairs[:] = weights.sum(axis=0), weights.T @ weights
        found.waves[:], found.sums[:] = weights.T @ features, weights.T @ places
        for one in range(copies.shape[1]):
            there = np.flatnonzero(copies[:, one])
            y = places[there]
            found.products[one] = (y * weights[there, one][:, None]).T @ y
        signs = _signs(identity)
        for one in range(signed):
            signed_weights = signs * weights[:, one][:, None]
            found.signs[one], found.tilts[one] = signed_weights.T @ features, signed_weights.sum(axis=0)
        return found

    def add(self, other: "SetSums") -> "SetSums":
        """Return the sums over the rows of both."""
        return SetSums(*(one + more for one, more in zip(self, other, strict=True)))

    def summary(self, one: int) -> SetSummary:
        """Return the sums of one set."""
        noise = float("nan")
        if one < len(self.signs) and self.rows[one] > 0:
            mean = self.waves[one] / self.rows[one]
            centred = self.signs[one] - self.tilts[one][:, None] * mean
            products = centred @ centred.T
            apart = ~np.eye(SIGNS, dtype=bool)
            noise = float((products[apart] ** 2).mean() / self.pairs[one, one] ** 2)
        squares = float(self.pairs[one, one])
        return SetSummary(float(self.rows[one]), squares, self.waves[one], self.sums[one], self.products[one], noise)


def moments(sets: list[SetSummary]) -> Moments:
    """Return the sums of several sets, for their Frechet distances."""
    return Moments(
        np.array([one.rows for one in sets]),
        np.stack([one.sums for one in sets]),
        np.stack([one.products for one in sets]),
    )


def bits(seed: int, identity: UInt64Array) -> BoolArray:
    """Return 64 random bits for every row, (n, 64) bool, which depend on its identity alone."""
    hashes = hash_identities(seed, identity)[:, None]
    found: BoolArray = (hashes >> np.arange(64, dtype=np.uint64)) & np.uint64(1) == 1
    return found


def _signs(identity: UInt64Array) -> Float64Array:
    found: Float64Array = np.where(bits(SIGN_SEED, identity)[:, :SIGNS], 1.0, -1.0)
    return found
