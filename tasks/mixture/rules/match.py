"""The mixture of domains whose clusters are those of a target set: least squares on the simplex.

Source: Domain2Vec (arXiv 2506.10952), min |H w - h|^2 where H holds each domain's histogram over clusters, and h the
target's. Likelihood instead of squares is the mixture under which the target's rows are most probable, found by
expectation maximisation (Dempster, Laird and Rubin 1977).
"""

from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
from pydantic import Field

from evenkeel.infra.dtypes import Float64Array
from evenkeel.infra.errors import RecipeError
from evenkeel.tasks.mixture.rule import MixtureRule

if TYPE_CHECKING:
    from evenkeel.tasks.mixture.evidence import Geometry

STEPS = 1000
SUM_WEIGHT = 1e3


def least_squares(histograms: Float64Array, target: Float64Array) -> Float64Array:
    """Return the weights w >= 0 that sum to 1 and make |histograms @ w - target| least, (k,).

    histograms: (c, k), each column sums to 1; target: (c,).
    """
    from scipy.optimize import nnls

    # The sum is a row of its own, so heavy that the others do not bend it.
    scale = SUM_WEIGHT * max(float(np.abs(histograms).max(initial=0.0)), 1e-12)
    rows = np.vstack([histograms, np.full(histograms.shape[1], scale)])
    weights: Float64Array = np.asarray(nnls(rows, np.append(target, scale))[0], np.float64)
    weights /= weights.sum()
    return weights


def likelihood(histograms: Float64Array, target: Float64Array) -> Float64Array:
    """Return the weights under which rows of the target are most probable, (k,); arrays as of `least_squares`."""
    weights: Float64Array = np.full(histograms.shape[1], 1 / histograms.shape[1])
    for _ in range(STEPS):
        mixed = histograms @ weights
        ratio = np.divide(target, mixed, out=np.zeros(len(target)), where=mixed > 0)
        new: Float64Array = weights * (histograms.T @ ratio)
        if not new.sum():
            return weights
        new /= new.sum()
        if np.abs(new - weights).max() < 1e-9:
            return new
        weights = new
    return weights


class Match(MixtureRule):
    """Give the domains the weights whose mixture of clusters is nearest to that of the target set."""

    trains: ClassVar[bool] = False
    reads: ClassVar[frozenset[str]] = frozenset({"histograms", "target"})

    name: Literal["match"] = "match"
    by: Literal["squares", "likelihood"] = Field(
        "squares", description="squares: of the differences of shares (Domain2Vec); likelihood: of the target's rows."
    )
    level: int = Field(1, ge=1, description="Level whose clusters are compared; 1 = the leaves.")

    def weigh(self, geometry: "Geometry") -> Float64Array:
        """Return the weights of the domains. Raises RecipeError without a target set."""
        if geometry.target is None:
            raise RecipeError("the mixture rule match has no target", where="target_set", remedy="add target_set")
        fit = least_squares if self.by == "squares" else likelihood
        return fit(geometry.histograms, geometry.target)
