"""Distances between two sets of rows, and how large sampling noise alone makes them.

mmd: squared maximum mean discrepancy with a Gaussian kernel (Gretton et al. 2012), by random Fourier features (Rahimi
and Recht 2007), unbiased; frechet: squared, of means and covariances; transport: optimal transport between histograms
of clusters at the squared distances of their centroids; kl: divergence between such histograms.
"""

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np

from evenkeel.infra.dtypes import Float32Array, Float64Array, Int64Array
from evenkeel.tasks.distance.sums import SetSummary, moments
from evenkeel.tasks.signal.toward.frechet import frechet
from evenkeel.tasks.signal.toward.sinkhorn import squared_distances, transport

By = Literal["mmd", "frechet", "transport", "kl"]
BY: tuple[By, ...] = ("mmd", "frechet", "transport", "kl")
EPSILON = 0.01
QUANTILE = 0.999
DEVIATIONS = 4.0


def discrepancy(a: SetSummary, b: SetSummary, shared: float = 0.0) -> float:
    """Return the squared maximum mean discrepancy, unbiased, at least 0; NaN where a set is empty.

    shared: the sum, over the rows that are in both, of the copies in one by those in the other. As a feature vector has
    length 1, they and the pairs of a row with itself are taken off exactly.
    """
    if not (a.rows and b.rows):
        return float("nan")
    others = a.rows * b.rows - shared
    cross = (float(a.waves @ b.waves) - shared) / others if others > 0 else 1.0
    return max(a.kinship + b.kinship - 2 * cross, 0.0)


def discrepancy_by_noise(a: SetSummary, b: SetSummary, shared: float = 0.0) -> float:
    """Return what that discrepancy stays below, 999 times in 1,000, where both are draws of the same rows.

    The squared norm of the difference of means is a sum of squared normals, taken as a gamma variable with its mean and
    variance (Satterthwaite 1946).
    """
    from scipy.special import gammaincinv

    if not (a.rows and b.rows):
        return float("nan")
    scale = a.squares / a.rows**2 + b.squares / b.rows**2 - 2 * shared / (a.rows * b.rows)
    total = a.rows + b.rows
    trace = (a.rows * (1 - a.kinship) + b.rows * (1 - b.kinship)) / total
    known = [one.noise for one in (a, b) if one.noise > 0]
    if not known or trace <= 0:
        return 0.0
    shape = trace**2 / (2 * float(np.mean(known)))
    return max(scale, 0.0) * trace * (float(gammaincinv(shape, QUANTILE)) / shape - 1)


def frechet_distances(sets: Sequence[SetSummary], to: SetSummary) -> Float64Array:
    """Return the squared Frechet distances of some sets to another, (k,) float64."""
    return frechet(moments(list(sets)), moments([to]))


def transported(a: Int64Array, b: Int64Array, centroids: Float32Array, other: Float32Array | None = None) -> float:
    """Return the transport between two histograms of clusters; other: the centroids of the second, where they differ.

    NaN where a histogram is empty.
    """
    if not (a.sum() and b.sum()):
        return float("nan")
    cost = squared_distances(centroids, centroids if other is None else other)
    return transport(a / a.sum(), b / b.sum(), cost, EPSILON).cost


def divergence(wanted: Int64Array, counts: Int64Array, pool: Int64Array) -> float:
    """Return the divergence of the wanted histogram from another, in nats; a row spread like the pool is added."""
    share = pool / max(pool.sum(), 1)
    p, q = wanted / max(wanted.sum(), 1), (counts + share) / (counts.sum() + 1)
    held = (p > 0) & (q > 0)
    return max(float((p[held] * np.log(p[held] / q[held])).sum()), 0.0)


def simulated(
    distance: Callable[[Int64Array, Int64Array], float], share: Float64Array, sizes: tuple[int, int], times: int
) -> Float64Array:
    """Return the distances of pairs of draws from one histogram, (times,) float64. A size of 0 stands for the whole.

    share: (k,), sums to 1. The draws are with replacement and do not depend on anything else.
    """
    rng = np.random.default_rng(0)
    whole = np.round(share * 1e9).astype(np.int64)
    found = []
    for _ in range(times):
        one, other = (rng.multinomial(size, share) if size else whole for size in sizes)
        found.append(distance(one, other))
    return np.array(found)


def above_noise(found: Float64Array) -> float:
    """Return what a further one of these distances hardly exceeds: their mean and four standard deviations."""
    return float(found.mean() + DEVIATIONS * found.std(ddof=1)) if len(found) > 1 else float("nan")
