"""Leverage: how much a row's own value decides the fit of a linear model there.

h = x' (X'X + rI)^-1 x. Rows drawn with chances in proportion to it and weighted by 1 / chance give a linear regression
close to that on all rows (leverage or sensitivity sampling; Drineas et al. 2006, Ma et al. 2015). Without a ridge the
leverages of a pool sum to the rank of X.
"""

import operator
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits

from evenkeel.infra import storage
from evenkeel.infra.arrays import map_array, write_array
from evenkeel.infra.dtypes import Array, Float64Array
from evenkeel.tasks.signal.source import SignalSource
from evenkeel.tasks.step import Run

ROWS_PER_CHUNK = 4096
SMALLEST, CONDITION = 1e-10, 1e6
COLUMN_BLOCKS = 6
MAP = "map.npy"


class Whitening(NamedTuple):
    """The map whose squared lengths are leverages. matrix: (d, rank), zero above the diagonal, float32 or float64."""

    matrix: Array
    rank: int


def gram(x: Array) -> Float64Array:
    """Return X'X of (n, d) rows, (d, d) float64, in memory for a few thousand rows at a time."""
    total = np.zeros((x.shape[1], x.shape[1]))
    for start in range(0, len(x), ROWS_PER_CHUNK):
        rows = np.asarray(x[start : start + ROWS_PER_CHUNK], np.float64)
        total += rows.T @ rows
    return total


def whitening(total: Float64Array, ridge: float) -> Whitening:
    """Return the map to coordinates in which X'X + rI is the identity, turned so that it is zero above the diagonal.

    Directions in which X'X has less than 1e-10 of its largest eigenvalue are not told from zero, and left out. It is of
    float32 where the eigenvalues that are left lie within a factor of a million: a coordinate is then off by 1e-4 of
    its size at most, at random, and a leverage by less.
    """
    values, axes = np.linalg.eigh(total)
    there = values > SMALLEST * max(float(values[-1]), 0.0) if len(values) else np.zeros(0, bool)
    scale = values[there] + ridge
    upper: Array = np.linalg.qr((axes[:, there] / np.sqrt(scale)).T)[1]
    matrix = np.ascontiguousarray(upper.T)
    near = len(scale) > 0 and float(scale.max()) <= CONDITION * float(scale.min())
    return Whitening(matrix.astype(np.float32) if near else matrix, int(there.sum()))


def leverages(x: Array, matrix: Array) -> Float64Array:
    """Return the leverages of (n, d) rows, (n,) float64, given `whitening(...).matrix`.

    A block of coordinates reads only the dimensions from its own on; squares of a block are added up in float64.
    """
    found = np.zeros(len(x))
    width = max(1, -(-matrix.shape[1] // COLUMN_BLOCKS))
    blocks = [
        (first, np.ascontiguousarray(matrix[first:, first : first + width]))
        for first in range(0, matrix.shape[1], width)
    ]
    for start in range(0, len(x), ROWS_PER_CHUNK):
        rows = np.asarray(x[start : start + ROWS_PER_CHUNK], matrix.dtype)
        for first, part in blocks:
            mapped = rows[:, first:] @ part
            found[start : start + len(mapped)] += np.einsum("ij,ij->i", mapped, mapped)
    return found


def fit_leverages(source: SignalSource, ridge: float, folder: str, run: Run) -> Mapping[str, object]:
    """Sum X'X over the blocks, on the workers, and write the map whose squared lengths are leverages; return facts."""
    with threadpool_limits(1):  # the number of BLAS threads would show in the last bits
        work = source.pool.rows * source.vectors.dimension * source.vectors.dtype.itemsize
        total = run.compute.reduce(partial(_gram_of_block, source), operator.iadd, source.blocks, work=work)
        found = whitening(np.zeros((source.vectors.dimension,) * 2) if total is None else total, ridge)
    write_array(storage.join(folder, MAP), found.matrix)
    return {"rank": found.rank}


def leverages_of_block(source: SignalSource, folder: str, scratch: str, block: str) -> Float64Array:
    """Return the leverages of the rows of a block, (n,) float64."""
    matrix = map_array(storage.join(folder, MAP), Path(scratch))
    with threadpool_limits(1):
        return leverages(source.vectors.block(block), matrix)


def _gram_of_block(source: SignalSource, block: str) -> Float64Array:
    return gram(source.vectors.block(block))
