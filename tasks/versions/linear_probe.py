"""A ridge classifier on vectors, trained on some rows and tested on others: what a set of rows teaches about labels."""

import numpy as np
from numpy.typing import NDArray

from evenkeel.infra.dtypes import Float32Array

PENALTY = 1.0
Labels = NDArray[np.int64]


def predict(train: Float32Array, labels: Labels, test: Float32Array, classes: int) -> Labels:
    """Return the class of every test row by ridge regression to the classes' indicators, (m,) int64.

    train: (n, d), test: (m, d) float32; labels: (n,) int64 below `classes`. The penalty is on everything but the
    intercept. A class without a training row is never predicted (Hoerl and Kennard 1970).
    """
    mean = train.mean(axis=0, dtype=np.float64)
    centred = train - mean
    targets = np.zeros((len(train), classes))
    targets[np.arange(len(train)), labels] = 1.0
    offset = targets.mean(axis=0)
    gram = centred.T @ centred + PENALTY * np.eye(train.shape[1])
    weights = np.linalg.solve(gram, centred.T @ (targets - offset))
    scores = (test - mean) @ weights + offset
    scores[:, offset == 0] = -np.inf
    best: Labels = scores.argmax(axis=1).astype(np.int64)
    return best


def correct_by_fold(
    vectors: Float32Array, labels: Labels, copies: NDArray[np.int64], folds: Labels
) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Test every row by a model that was trained on the chosen rows of the other folds.

    vectors: (n, d); labels, copies, folds: (n,). copies: how often a row was chosen, 0 = not at all. Returns whether
    the model was right, (n,), and the training rows of each class, (classes,), the mean over the folds.
    """
    classes = int(labels.max()) + 1
    right, rows = np.zeros(len(vectors), bool), np.zeros(classes)
    every = np.unique(folds)
    for fold in every:
        test = np.flatnonzero(folds == fold)
        others = np.flatnonzero((folds != fold) & (copies > 0))
        chosen = np.repeat(others, copies[others])
        rows += np.bincount(labels[chosen], minlength=classes) / len(every)
        if len(chosen):
            right[test] = predict(vectors[chosen], labels[chosen], vectors[test], classes) == labels[test]
    return right, rows
