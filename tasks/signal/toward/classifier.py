"""A linear model of what tells the target from the pool.

membership: logistic regression of target against pool, whose log odds are the log of the importance weight up to a
constant (domain classifiers; Qin 1998 on the ratio of two densities). similarity: BETR (arXiv 2507.12466): rows of a
sample are ranked by their mean cosine with the nearest rows of the target, and a linear model learns the rank, as its
Savage score (Savage 1956): few rows are wanted, and equal steps of rank would spend the model on the rest.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from evenkeel.infra import storage
from evenkeel.infra.arrays import map_array, write_array
from evenkeel.infra.dtypes import Float32Array, Float64Array
from evenkeel.tasks.dedup.target_set import TargetSet
from evenkeel.tasks.embed.post import normalise
from evenkeel.tasks.signal.signal import Fit
from evenkeel.tasks.signal.source import SignalSource
from evenkeel.tasks.signal.toward.drawn import chunks, pool_sample, target_sample
from evenkeel.tasks.signal.toward.rule import Rule

if TYPE_CHECKING:
    from evenkeel.tasks.step import Run

MODEL = "model.npy"
TARGET_ROWS, POOL_ROWS = 8192, 16_384


class ClassifierRule(Rule):
    """The log odds that a row is of the target, or its predicted rank by similarity to it."""

    def fit(self, source: SignalSource, target: TargetSet, folder: str, run: "Run") -> Mapping[str, object]:
        """Fit the model on samples, and write its coefficients and intercept, (d + 1,) float64."""
        wanted, rows = target_sample(target, source.vectors, TARGET_ROWS, run)
        others = pool_sample(source, folder, POOL_ROWS, run)
        if self.options.teacher == "membership":
            model = logistic(wanted, others, self.options.penalty)
        else:
            near = similarities(others, wanted, self.options.neighbours)
            model = ridge(others, savage_scores(ranks(near)), self.options.penalty)
        write_array(storage.join(folder, MODEL), model)
        return {"target_rows": rows, "pool_sampled": len(others)}

    def values(self, source: SignalSource, block: str, fit: Fit) -> Float64Array:
        """Return what the model says of each row, (n,) float64."""
        model = np.asarray(map_array(storage.join(fit.folder, MODEL), Path(fit.scratch)))
        parts = [x.astype(np.float64) @ model[:-1] + model[-1] for x in chunks(source, block)]
        return np.concatenate([np.empty(0), *parts])


def logistic(wanted: Float32Array, others: Float32Array, penalty: float) -> Float64Array:
    """Return coefficients and intercept of a logistic regression, (d + 1,); both samples weigh the same.

    penalty: of the squared coefficients of standardised dimensions, as rows of the smaller sample.
    """
    from sklearn.linear_model import LogisticRegression

    x = np.concatenate([wanted, others]).astype(np.float64)
    mean, scale = _scale(others)
    model = LogisticRegression(C=1 / penalty, class_weight="balanced", max_iter=500)
    model.fit((x - mean) / scale, np.repeat([1, 0], [len(wanted), len(others)]))
    return _in_units(model.coef_[0], float(model.intercept_[0]), mean, scale)


def similarities(x: Float32Array, wanted: Float32Array, neighbours: int) -> Float64Array:
    """Return the mean cosine of each row with its nearest rows of the target, (n,) float64."""
    unit, nearest = normalise(wanted), min(neighbours, len(wanted))
    found = np.empty(len(x))
    for start in range(0, len(x), 1024):
        cosines = normalise(x[start : start + 1024]) @ unit.T
        top = np.partition(cosines, cosines.shape[1] - nearest, axis=1)[:, -nearest:]
        found[start : start + 1024] = top.mean(axis=1, dtype=np.float64)
    return found


def ranks(values: Float64Array) -> Float64Array:
    """Return the mean share of rows below each value, equals counted half, (n,) float64 in (0, 1)."""
    from scipy.stats import rankdata

    found: Float64Array = (rankdata(values) - 0.5) / max(len(values), 1)
    return found


def savage_scores(rank: Float64Array) -> Float64Array:
    """Return the expected value of an exponential variable at each rank in (0, 1), (n,) float64: steep at the top."""
    found: Float64Array = -np.log1p(-rank)
    return found


def ridge(x: Float32Array, y: Float64Array, penalty: float) -> Float64Array:
    """Return coefficients and intercept of a ridge regression on standardised dimensions, (d + 1,) float64."""
    mean, scale = _scale(x)
    z = (x - mean) / scale
    coefficients = np.linalg.solve(z.T @ z + penalty * np.eye(z.shape[1]), z.T @ (y - y.mean()))
    return _in_units(coefficients, float(y.mean()), mean, scale)


def _scale(x: Float32Array) -> tuple[Float64Array, Float64Array]:
    """Return mean and standard deviation of every dimension, (d,) each; 1 where a dimension is constant."""
    mean, scale = x.mean(axis=0, dtype=np.float64), x.std(axis=0, dtype=np.float64)
    return mean, np.where(scale > 1e-9 * max(float(scale.max(initial=0)), 1e-30), scale, 1.0)


def _in_units(coefficients: Float64Array, intercept: float, mean: Float64Array, scale: Float64Array) -> Float64Array:
    """Return the model for rows that are not standardised."""
    slopes = coefficients / scale
    return np.append(slopes, intercept - float(slopes @ mean))
