"""Search by regression: a model of the metric as a function of the weights says which mixtures to try next.

Sources: CLIMB (arXiv 2504.13161) and RegMix (arXiv 2407.01492): Dirichlet trials, a regressor, the predicted best tried
next; Data Mixing Laws (arXiv 2403.16952): the loss of domain i is c_i + exp(a_i . w). The default is a law of shares: a
domain learns from its own rows, less and less, and what the others do for it is small and linear. The metric over
everything is the mean of the domains' laws where they are reported; a single law would send every row to one domain.
The same search finds the weights of quality scores (QuaDMix, Meta-rater).
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field

from evenkeel.infra.dtypes import Float64Array
from evenkeel.tasks.mixture.rule import MixtureRule
from evenkeel.tasks.mixture.simplex import apart, around

if TYPE_CHECKING:
    from evenkeel.tasks.mixture.evidence import Evidence

Model = Literal["law", "exponential", "trees"]
Law = Callable[[Float64Array], Float64Array]
CANDIDATES = 2048
OFFSETS = 24
SMALL_SHARES, PENALTIES, OWN_PENALTY = (0.005, 0.02, 0.05, 0.1, 0.2), (0.03, 0.3, 3.0, 30.0), 1e-3
RIDGES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
SMALL_SHARE = 0.02
APART = 0.08


def exponential_law(weights: Float64Array, losses: Float64Array) -> Law:
    """Return c + exp(a . w) fitted to losses, smaller being better: (t, k), (t,) -> a function of (n, k).

    For every c of some below the least loss, a is a ridge regression on the logarithm, pulled towards equal slopes; c
    and the penalty are those whose trials are predicted best when each is left out.
    """
    low, spread = float(losses.min()), float(np.ptp(losses)) or 1.0
    best: tuple[float, float, Float64Array, float] = (np.inf, low - spread, np.zeros(weights.shape[1]), 0.0)
    centre = weights.mean(axis=0)
    design = weights - centre
    gram = design.T @ design / len(design)
    for gap in np.geomspace(0.05, 20.0, OFFSETS) * spread:
        logs = np.log(losses - low + gap)
        mean = float(logs.mean())
        for ridge in RIDGES:
            inverse = np.linalg.inv(
                gram + ridge * np.trace(gram) * np.eye(len(gram)) / len(gram) + 1e-12 * np.eye(len(gram))
            )
            slopes = inverse @ design.T @ (logs - mean) / len(design)
            leverage = np.einsum("tk,kl,tl->t", design, inverse, design) / len(design) + 1 / len(design)
            # Errors of leaving one out, in the units of the loss.
            left_out = (logs - mean - design @ slopes) / np.maximum(1 - leverage, 1e-3)
            error = float(np.mean((left_out * (losses - low + gap)) ** 2))
            if error < best[0]:
                best = (error, low - gap, slopes, mean)
    _, offset, slopes, mean = best
    return lambda mixtures: offset + np.exp(np.minimum(mean + (mixtures - centre) @ slopes, 50.0))


def share_laws(weights: Float64Array, losses: Float64Array) -> list[Law]:
    """Return for each domain c - b log(w_own + small) + a . w, fitted to its losses: (t, k), (t, k) -> functions.

    Ridge regression, with a penalty on a that is large beside that on b. The penalty and what counts as a small share
    are the same for all domains: those by which their trials are predicted best when each is left out.
    """
    best: tuple[float, list[Law]] = (np.inf, [])
    for small in SMALL_SHARES:
        for penalty in PENALTIES:
            fits = [_share_law(weights, losses[:, own], own, small, penalty) for own in range(weights.shape[1])]
            error = float(np.mean([one[1] for one in fits]))
            if error < best[0]:
                best = (error, [one[0] for one in fits])
    return best[1]


def _share_law(
    weights: Float64Array, losses: Float64Array, own: int, small: float, penalty: float
) -> tuple[Law, float]:
    """Return the law of one domain, and its mean squared error where each trial is left out."""
    spread = float(np.log(weights[:, own] + small).std()) or 1.0
    width = float(weights.std(axis=0).mean()) or 1.0

    def features(mixtures: Float64Array) -> Float64Array:
        return np.column_stack([np.log(mixtures[:, own] + small) / spread, mixtures / width])

    design = features(weights)
    centre, level, count = design.mean(axis=0), float(losses.mean()), len(losses)
    middle = design - centre
    pulls = np.append(OWN_PENALTY, np.full(weights.shape[1], penalty))
    inverse = np.linalg.inv(middle.T @ middle + count * np.diag(pulls))
    slopes = inverse @ middle.T @ (losses - level)
    leverage = np.einsum("tk,kl,tl->t", middle, inverse, middle) + 1 / count
    left_out = (losses - level - middle @ slopes) / np.maximum(1 - leverage, 1e-2)
    return lambda mixtures: level + (features(mixtures) - centre) @ slopes, float(np.mean(left_out**2))


def additive_law(weights: Float64Array, losses: Float64Array) -> Law:
    """Return c - sum_j b_j log(w_j + small) with b >= 0: every domain helps, less and less; arrays as above."""
    from scipy.optimize import nnls

    features = np.log(weights + SMALL_SHARE)
    middle = features.mean(axis=0)
    ridge = 0.1 * np.sqrt(len(weights)) * features.std() * np.eye(weights.shape[1]) / weights.shape[1]
    rows = np.vstack([features - middle, ridge])
    helps = np.asarray(nnls(rows, np.concatenate([losses.mean() - losses, np.zeros(len(ridge))]))[0], np.float64)
    level = float(losses.mean())
    return lambda mixtures: level - (np.log(mixtures + SMALL_SHARE) - middle) @ helps


def trees(weights: Float64Array, losses: Float64Array, seed: int) -> Law:
    """Return boosted trees of the losses, as CLIMB and RegMix fit; arrays as above."""
    from sklearn.ensemble import GradientBoostingRegressor

    few = {"n_estimators": 200, "learning_rate": 0.05, "max_depth": 3, "subsample": 0.8}
    model = GradientBoostingRegressor(random_state=seed, **few).fit(weights, losses)
    return lambda mixtures: np.asarray(model.predict(mixtures), np.float64)


def fitted(evidence: "Evidence", model: Model = "law") -> Law | None:
    """Return the loss, smaller being better, as a function of mixtures (n, k); None with fewer than four trials."""
    if len(evidence.scored) < 4:
        return None
    weights = evidence.table(lambda trial: trial.weights)
    overall = -evidence.sign * evidence.table(lambda trial: np.array([trial.value]))[:, 0]
    by_domain = -evidence.sign * evidence.table(lambda trial: trial.by_domain)
    if model == "trees":
        return trees(weights, overall, evidence.seed)
    known = np.isfinite(by_domain).all(axis=0)
    if not known.all():
        return additive_law(weights, overall)
    if model == "exponential":
        laws = [exponential_law(weights, by_domain[:, domain]) for domain in range(by_domain.shape[1])]
    else:
        laws = share_laws(weights, by_domain)
    shift = float(overall.mean() - by_domain.mean())
    return lambda mixtures: shift + np.mean([law(mixtures) for law in laws], axis=0)


class Regress(MixtureRule):
    """Fit a model of the metric to the trials so far, and try what it predicts to be best."""

    name: Literal["regress"] = "regress"
    model: Model = Field(
        "law",
        description="law: each domain learns from its own share, less and less, where domains are reported; "
        "exponential: in all weights (Data Mixing Laws); trees: boosted (CLIMB, RegMix).",
    )

    def propose(self, evidence: "Evidence", count: int) -> Float64Array:
        """Return the mixtures that are predicted best, some way apart from each other."""
        law = fitted(evidence, self.model)
        if law is None:
            return self.try_first(evidence, count)
        rng = evidence.rng(1)
        centres = [evidence.uniform, evidence.natural, evidence.incumbent()]
        drawn = np.vstack(
            [
                *(one[None] for one in centres),
                around(centres, CANDIDATES, rng, strength=1.0),
                around(centres, CANDIDATES, rng, strength=20.0),
            ]
        )
        drawn = evidence.limit(drawn)
        predicted = law(drawn)
        best = drawn[np.argsort(predicted, kind="stable")]
        refined = evidence.limit(around([best[0]], CANDIDATES // 4, rng, strength=100.0))
        both = np.vstack([best[: CANDIDATES // 4], refined])
        return apart(both[np.argsort(law(both), kind="stable")], count, APART)
