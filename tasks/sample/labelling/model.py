"""A linear model of the labels that there are, and how unsure it is of a row."""

from typing import NamedTuple

import numpy as np

from evenkeel.infra.dtypes import Float32Array, Float64Array, Int64Array
from evenkeel.tasks.sample.labelling.options import Uncertainty

PENALTY, ITERATIONS = 1.0, 300


class LabelModel(NamedTuple):
    """Logits of the classes are x @ slopes + intercepts. slopes: (d, classes) float64. intercepts: (classes,)."""

    slopes: Float64Array
    intercepts: Float64Array

    def probabilities(self, x: Float32Array) -> Float64Array:
        """Return the probability of every class for the rows of (n, d), (n, classes) float64."""
        logits = x.astype(np.float64) @ self.slopes + self.intercepts
        logits -= logits.max(axis=1, keepdims=True, initial=-np.inf) if len(logits) else 0.0
        odds = np.exp(logits)
        found: Float64Array = odds / odds.sum(axis=1, keepdims=True)
        return found


def fit_labels(x: Float32Array, labels: Int64Array, classes: int) -> LabelModel:
    """Return a logistic regression of labels 0 .. classes - 1, each of which occurs.

    Rows weigh the same, so that a model of few labels is unsure where a rare class may be.
    """
    from sklearn.linear_model import LogisticRegression

    mean, scale = x.mean(axis=0, dtype=np.float64), float(x.std(dtype=np.float64)) or 1.0
    model = LogisticRegression(C=1 / PENALTY, max_iter=ITERATIONS)
    model.fit((x - mean) / scale, labels)
    slopes, intercepts = model.coef_ / scale, model.intercept_
    if classes == 2:
        slopes, intercepts = np.concatenate([-slopes, slopes]) / 2, np.concatenate([-intercepts, intercepts]) / 2
    return LabelModel(slopes.T.astype(np.float64), intercepts - slopes @ mean)


def uncertainty_of(probabilities: Float64Array, by: Uncertainty) -> Float64Array:
    """Return how unsure a model is of each row, (n,) float64 from 0 to 1, from (n, classes), two classes at least."""
    if by == "entropy":
        sure = np.log(np.maximum(probabilities, 1e-300))
        found: Float64Array = -(probabilities * sure).sum(axis=1) / np.log(probabilities.shape[1])
        return found
    first = np.partition(probabilities, -2, axis=1)[:, -2:]
    rest: Float64Array = 1.0 - first[:, 1] + (0.0 if by == "confidence" else first[:, 0])
    return rest
