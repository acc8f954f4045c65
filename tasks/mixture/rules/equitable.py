"""Budgets by learning curves: the next row goes to the domain that gains most from it for what it costs.

Source: adaptive equitable sampling (arXiv 2202.01327): of every group a curve a - b n^-g is fitted to what was reported
at different numbers of rows n. The same rule divides a budget between stages of training whose rows cost differently.
"""

from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from evenkeel.infra.dtypes import Float64Array
from evenkeel.tasks.mixture.rule import MixtureRule

if TYPE_CHECKING:
    from evenkeel.tasks.mixture.evidence import Evidence

POWERS = np.linspace(0.05, 2.0, 40)
HALVINGS = 200


class Curve(NamedTuple):
    """The value a - b n^-power after n rows, b >= 0."""

    top: float
    scale: float
    power: float

    def at(self, rows: Float64Array) -> Float64Array:
        """Return the value after so many rows."""
        found: Float64Array = self.top - self.scale * np.maximum(rows, 1e-9) ** -self.power
        return found


def fit_curve(rows: Float64Array, values: Float64Array) -> Curve:
    """Return the learning curve nearest to values, larger being better, after `rows` rows, (t,) each.

    Least squares at each of some powers, the best of them. A domain that does not gain has scale 0.
    """
    best, least = Curve(float(values.mean()), 0.0, 1.0), float(((values - values.mean()) ** 2).sum())
    for power in POWERS:
        shape = np.maximum(rows, 1.0) ** -power
        middle = shape - shape.mean()
        spread = float(middle @ middle)
        scale = -float(middle @ (values - values.mean())) / spread if spread > 1e-18 else 0.0
        if scale <= 0:
            continue
        top = float(values.mean() + scale * shape.mean())
        error = float(((top - scale * shape - values) ** 2).sum())
        if error < least * (1 - 1e-9):
            best, least = Curve(top, scale, float(power)), error
    return best


def allocate(curves: list[Curve], cost: Float64Array, most: Float64Array, budget: float) -> Float64Array:
    """Return the rows of each domain that make the sum of the curves largest within a budget, (k,) float64.

    cost: of a row, most: rows there are, (k,). At the optimum every domain gains equally for the next unit of cost
    (or has no more rows), and that gain is found by bisection. Domains that gain nothing get nothing.
    """
    scale = np.array([curve.scale for curve in curves])
    power = np.array([curve.power for curve in curves])

    def rows_at(log_gain: float) -> Float64Array:
        with np.errstate(divide="ignore"):
            log_rows = (np.log(scale * power) - np.log(cost) - log_gain) / (power + 1)
        found: Float64Array = np.minimum(np.exp(np.minimum(log_rows, 700.0)), most)
        return found

    if not scale.any():
        return np.zeros(len(curves))
    low, high = -200.0, 200.0
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if rows_at(middle) @ cost > budget else (low, middle)
    return rows_at(high)


class Equitable(MixtureRule):
    """Spread the budget so that every domain gains equally from its last row, for what a row of it costs."""

    name: Literal["equitable"] = "equitable"

    def propose(self, evidence: "Evidence", count: int) -> Float64Array:
        """Return the best allocation by the curves fitted so far, then mixtures between it and scattered ones."""
        curves = []
        for domain in range(len(evidence.names)):
            points = [(trial.rows[domain], evidence.sign * trial.by_domain[domain]) for trial in evidence.scored]
            known = np.array([one for one in points if np.isfinite(one[1])], np.float64).reshape(-1, 2)
            flat = Curve(0.0, 0.0, 1.0)
            curves.append(fit_curve(known[:, 0], known[:, 1]) if len(known) > 1 else flat)
        budget = float(evidence.budget * (evidence.natural @ evidence.costs))
        rows = allocate(curves, evidence.costs, evidence.sizes.astype(np.float64), budget)
        best = rows / rows.sum() if rows.sum() else evidence.uniform
        return np.vstack([best[None], (best + self.try_first(evidence, count - 1)) / 2])
