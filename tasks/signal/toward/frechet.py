"""The Frechet distance between two sets of vectors, from sums that add up over blocks.

Dowson and Landau 1982; as a distance between data sets Heusel et al. 2017 (arXiv 1706.08500). Sets are taken as normal
distributions with their means and covariances.
"""

from typing import NamedTuple

import numpy as np

from evenkeel.infra.dtypes import Float64Array, Int64Array


class Moments(NamedTuple):
    """Sums over the rows of k sets of vectors. rows: (k,) int64. sums: (k, d) float64. products: (k, d, d) float64."""

    rows: Int64Array
    sums: Float64Array
    products: Float64Array

    @classmethod
    def of(cls, x: Float64Array, member: Int64Array, sets: int) -> "Moments":
        """Return the sums of rows (n, d) that belong to sets (n,)."""
        d = x.shape[1]
        found = cls(np.bincount(member, minlength=sets), np.zeros((sets, d)), np.zeros((sets, d, d)))
        order = np.argsort(member, kind="stable")
        edges = np.searchsorted(member[order], np.arange(sets + 1))
        for one in np.flatnonzero(np.diff(edges)):
            part = x[order[edges[one] : edges[one + 1]]]
            found.sums[one], found.products[one] = part.sum(axis=0), part.T @ part
        return found

    def add(self, other: "Moments") -> "Moments":
        """Return the sums over the rows of both."""
        return Moments(self.rows + other.rows, self.sums + other.sums, self.products + other.products)

    def running(self, order: Int64Array) -> "Moments":
        """Return the sums of the first set in an order, of the first two, and so on."""
        return Moments(
            np.cumsum(self.rows[order]), np.cumsum(self.sums[order], axis=0), np.cumsum(self.products[order], axis=0)
        )

    def normal(self) -> tuple[Float64Array, Float64Array]:
        """Return means (k, d) and covariances (k, d, d); zeros for an empty set."""
        n = np.maximum(self.rows, 1).astype(np.float64)
        mean = self.sums / n[:, None]
        return mean, self.products / n[:, None, None] - mean[:, :, None] * mean[:, None, :]


def frechet(sets: Moments, target: Moments) -> Float64Array:
    """Return the squared Frechet distance of k sets to one target, (k,) float64; infinite for an empty set."""
    mean, covariance = sets.normal()
    aim, spread = (part[0] for part in target.normal())
    values, axes = np.linalg.eigh(spread)
    root = (axes * np.sqrt(np.maximum(values, 0))) @ axes.T
    mixed = np.linalg.eigvalsh(root @ covariance @ root)
    shared = np.sqrt(np.maximum(mixed, 0)).sum(axis=1)
    traces = np.trace(covariance, axis1=1, axis2=2) + np.trace(spread)
    found = np.maximum(((mean - aim) ** 2).sum(axis=1) + traces - 2 * shared, 0.0)
    return np.where(sets.rows > 0, found, np.inf)
