"""Formulas of balance and drift over counts, and of how much sampling noise moves them."""

from collections.abc import Callable
from statistics import NormalDist
from typing import Literal

import numpy as np
import numpy.typing as npt

Counts = npt.NDArray[np.float64]
Between = Literal["lowest", "highest", "ratio", "difference"]
MEASURES = (
    "entropy", "kl_uniform", "gini", "largest_share", "smallest_share", "coverage", "hill0", "hill1", "hill2",
)  # fmt: skip
DRAWS = 2_000_000
FALSE_ALARM = 1e-6


def entropy(counts: Counts) -> float:
    """Return the Shannon entropy of counts (k,), in nats."""
    p = counts[counts > 0] / counts.sum()
    return float(-(p * np.log(p)).sum())


def normalised_entropy(counts: Counts) -> float:
    """Return entropy / log k in [0, 1]; 1 for a single class."""
    return entropy(counts) / float(np.log(len(counts))) if len(counts) > 1 else 1.0


def kl_uniform(counts: Counts) -> float:
    """Return KL(counts || uniform over k) in nats."""
    return max(0.0, float(np.log(len(counts))) - entropy(counts))


def kl(counts: Counts, reference: Counts) -> float:
    """Return KL(counts || reference) in nats, half a row added to every class so that it stays finite."""
    p, q = _smoothed(counts), _smoothed(reference)
    return float((p * np.log(p / q)).sum())


def psi(counts: Counts, reference: Counts) -> float:
    """Return the population stability index sum (p - q) log(p / q), half a row added to every class."""
    p, q = _smoothed(counts), _smoothed(reference)
    return float(((p - q) * np.log(p / q)).sum())


def moved(counts: Counts, reference: Counts) -> float:
    """Return the total variation distance: the share of rows that would have to change class."""
    return float(np.abs(counts / counts.sum() - reference / reference.sum()).sum() / 2)


def gini(counts: Counts) -> float:
    """Return the Gini index of counts (k,): 0 all equal, towards 1 where one class holds everything."""
    k, ordered = len(counts), np.sort(counts / counts.sum())
    return max(0.0, float((2 * np.arange(1, k + 1) - k - 1) @ ordered / k))


def hill(counts: Counts, order: int) -> float:
    """Return the Hill number: how many equally large classes would be as diverse (Hill 1973).

    order 0: classes with rows; 1: exp of the entropy; 2: inverse Simpson index.
    """
    if order == 0:
        return float((counts > 0).sum())
    if order == 1:
        return float(np.exp(entropy(counts)))
    p = counts / counts.sum()
    return float(1 / (p @ p))


def balance(counts: npt.ArrayLike, present: npt.ArrayLike | None = None) -> dict[str, float]:
    """Return all measures of balance of counts >= 0 over classes (k,), by the names in MEASURES.

    present: (k,) bool, the classes that have rows in the pool; only those count (all of them without it). entropy is
    normalised; coverage is the share of those classes that have rows; hill0, hill1 and hill2 are Hill numbers. Where
    there are no rows or no classes, kl_uniform is the largest possible and all others are 0.
    """
    classes = np.asarray(counts, dtype=np.float64)
    if present is not None:
        classes = classes[np.asarray(present, dtype=bool)]
    total = classes.sum()
    if len(classes) == 0 or total <= 0:
        return {**dict.fromkeys(MEASURES, 0.0), "kl_uniform": float(np.log(max(len(classes), 1)))}
    shares = classes / total
    return {
        "entropy": normalised_entropy(classes),
        "kl_uniform": kl_uniform(classes),
        "gini": gini(classes),
        "largest_share": float(shares.max()),
        "smallest_share": float(shares.min()),
        "coverage": hill(classes, 0) / len(classes),
        **{f"hill{order}": hill(classes, order) for order in (0, 1, 2)},
    }


def attainable(sizes: Counts, rows: float) -> Counts:
    """Return the most even way (k,) to take `rows` from classes of `sizes`: water-filling, everyone min(size, cap)."""
    ordered = np.sort(sizes)
    filled = np.cumsum(ordered) + ordered * np.arange(len(sizes) - 1, -1, -1)
    first = int(np.searchsorted(filled, rows))
    if first == len(sizes):
        return sizes.astype(np.float64)
    below = ordered[:first].sum()
    cap = (rows - below) / (len(sizes) - first)
    even: Counts = np.minimum(sizes, cap).astype(np.float64)
    return even


def between_groups(means: Counts, how: Between) -> Counts:
    """Return the lowest or highest of the means of groups, their ratio (lowest / highest) or difference, (r,) float64.

    means: (groups, r), r sets of means compared each for itself; NaN is left out.
    """
    low = np.where(np.isnan(means), np.inf, means).min(axis=0)
    high = np.where(np.isnan(means), -np.inf, means).max(axis=0)
    low, high = np.where(np.isinf(low), np.nan, low), np.where(np.isinf(high), np.nan, high)
    with np.errstate(divide="ignore", invalid="ignore"):
        found = {"lowest": low, "highest": high, "ratio": low / high, "difference": high - low}
    return np.asarray(found[how])


def bootstrap_margin(statistic: Callable[[Counts], float], counts: Counts, seed: int = 0) -> float:
    """Return how far sampling noise alone may move `statistic(counts)`: z standard deviations over Poisson resamples.

    z is the normal quantile of a one-in-a-million false alarm. The work is bounded: with very many classes there are
    fewer resamples, and past two million classes none (the noise of a sum over so many is nothing).
    """
    rng = np.random.default_rng(seed)
    draws = (rng.poisson(counts).astype(np.float64) for _ in range(_replicates(len(counts))))
    values = [statistic(draw) for draw in draws if draw.sum() > 0]
    return noise_quantile() * float(np.std(values)) if values else 0.0


def null_margin(distance: Callable[[Counts, Counts], float], counts: Counts, reference: Counts, seed: int = 0) -> float:
    """Return how large `distance` gets between two samples of one distribution, of the sizes of these two.

    The distribution is the pooled one; the result is mean + z standard deviations over Poisson resamples (a parametric
    bootstrap of the null hypothesis), so only what exceeds it counts as drift.
    """
    rng = np.random.default_rng(seed)
    pooled = (counts + reference) / (counts.sum() + reference.sum())
    values = [
        distance(
            rng.poisson(pooled * counts.sum()).astype(np.float64),
            rng.poisson(pooled * reference.sum()).astype(np.float64),
        )
        for _ in range(_replicates(len(counts)))
    ]
    finite = [value for value in values if np.isfinite(value)]
    return float(np.mean(finite)) + noise_quantile() * float(np.std(finite)) if finite else 0.0


def noise_quantile(comparisons: int = 1) -> float:
    """Return the normal quantile beyond which one of `comparisons` differences is hardly ever noise."""
    return NormalDist().inv_cdf(1 - FALSE_ALARM / max(comparisons, 1))


def _replicates(classes: int) -> int:
    return 0 if classes > DRAWS else max(10, min(100, DRAWS // max(classes, 1)))


def _smoothed(counts: Counts) -> Counts:
    shares: Counts = (counts + 0.5) / (counts.sum() + 0.5 * len(counts))
    return shares
