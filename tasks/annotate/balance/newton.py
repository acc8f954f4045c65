"""Weights nearest to equal ones that meet several margins at once: entropy balancing, by Newton's method in the dual.

Sources: raking (Deming and Stephan 1940) and entropy balancing (Hainmueller 2012). The weights that minimise sum w log
w under sum w phi = m are exp(l . phi), and l minimises log sum q exp(l . phi) - l . m, which is convex. Rows that are
alike in all margins are one cell, so the work does not grow with the rows.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from evenkeel.infra.dtypes import Float64Array, Int32Array

if TYPE_CHECKING:
    from scipy.sparse import csr_array

STEPS, SWEEPS = 60, 30
NEAR = 1e-9
MET = 1e-6  # how far a margin may be off, as a share
MAX_NEWTON = 2048
FLOOR = -700.0


class Cells(NamedTuple):
    """Rows by what the margins read of them. counts: (n,) float64 copies. codes: (n, margins) int32, the place of a
    value in each. numbers: (n, means) float64."""

    counts: Float64Array
    codes: Int32Array
    numbers: Float64Array


class Dual(NamedTuple):
    """Weights as exp(sum of potentials of values + slopes . numbers), times a constant that makes their mean 1.

    potentials: of the values of every margin. slopes: (means,) float64. log_total: log of that constant's inverse.
    missed: how far the worst margin is off, as a share; worst: which, as (margin, value).
    """

    potentials: list[Float64Array]
    slopes: Float64Array
    log_total: float
    missed: float
    worst: tuple[int, int]

    def log_weights(self, codes: Int32Array, numbers: Float64Array) -> Float64Array:
        """Return the logs of the weights of cells, (n,) float64."""
        found = numbers @ self.slopes - self.log_total
        for number, potential in enumerate(self.potentials):
            found = found + potential[codes[:, number]]
        return np.asarray(found, np.float64)


def balance(cells: Cells, shares: Sequence[Float64Array], means: Float64Array) -> Dual:
    """Return the dual of the weights that meet shares of values, and means of numbers.

    Values whose share is 0 get no weight. Numbers are best given about their mean, in units of their deviation.
    """
    potentials = [np.where(share > 0, 0.0, FLOOR) for share in shares]
    slopes = np.zeros(len(means))
    for _ in range(SWEEPS):
        for number, share in enumerate(shares):
            reached = _reached(cells, potentials, slopes, number, len(share))
            with np.errstate(divide="ignore", invalid="ignore"):
                step = np.log(share) - np.log(reached)
            potentials[number] = potentials[number] + np.where((share > 0) & (reached > 0), step, 0.0)
        if len(means) == 0 and _missed(cells, potentials, slopes, shares, means)[0] < NEAR:
            break
    if sum(map(len, shares)) + len(means) <= MAX_NEWTON:
        potentials, slopes = _newton(cells, potentials, slopes, shares, means)
    else:
        for _ in range(SWEEPS * 60):
            for number, share in enumerate(shares):
                reached = _reached(cells, potentials, slopes, number, len(share))
                with np.errstate(divide="ignore", invalid="ignore"):
                    step = np.log(share) - np.log(reached)
                potentials[number] = potentials[number] + np.where((share > 0) & (reached > 0), step, 0.0)
            if _missed(cells, potentials, slopes, shares, means)[0] < NEAR:
                break
    missed, worst = _missed(cells, potentials, slopes, shares, means)
    energy = _energy(cells, potentials, slopes)
    top = float(energy.max(initial=0.0))
    total = float(np.log(np.maximum((cells.counts * np.exp(energy - top)).sum(), 1e-300))) + top
    return Dual(potentials, slopes, total - float(np.log(max(cells.counts.sum(), 1.0))), missed, worst)


def _newton(
    cells: Cells,
    potentials: list[Float64Array],
    slopes: Float64Array,
    shares: Sequence[Float64Array],
    means: Float64Array,
) -> tuple[list[Float64Array], Float64Array]:
    """Improve the dual by damped Newton steps; where margins repeat one another the least step is taken."""
    from scipy import sparse

    edges = np.cumsum([0, *map(len, shares)])
    wanted = np.concatenate([*shares, means])
    rows = np.arange(len(cells.counts))
    hot = [
        sparse.csr_array((np.ones(len(rows)), (rows, cells.codes[:, number])), shape=(len(rows), len(share)))
        for number, share in enumerate(shares)
    ]
    features = sparse.csr_array(sparse.hstack([*hot, sparse.csr_array(cells.numbers)]))
    dual = np.concatenate([*potentials, slopes])
    value = _objective(cells, features, dual, wanted)
    for _ in range(STEPS):
        weight = _weights(cells, features @ dual)
        reached = np.asarray(features.T @ weight)
        gap = reached - wanted
        if np.abs(gap).max(initial=0.0) < NEAR * 0.1:
            break
        spread = (features.T @ sparse.csr_array(features * weight[:, None])).toarray() - np.outer(reached, reached)
        step = np.linalg.lstsq(spread + 1e-13 * np.eye(len(spread)), -gap, rcond=1e-12)[0]
        scale = 1.0
        while scale > 1e-6:
            trial = _objective(cells, features, dual + scale * step, wanted)
            if trial <= value + 1e-4 * scale * float(gap @ step):
                break
            scale /= 2
        if scale <= 1e-6:
            break
        dual, value = dual + scale * step, trial
    return [dual[a:b] for a, b in pairwise(edges.tolist())], dual[edges[-1] :]


def _objective(cells: Cells, features: "csr_array", dual: Float64Array, wanted: Float64Array) -> float:
    energy = np.asarray(features @ dual)
    top = float(energy.max(initial=0.0))
    return float(np.log(np.maximum((cells.counts * np.exp(energy - top)).sum(), 1e-300))) + top - float(dual @ wanted)


def _energy(cells: Cells, potentials: list[Float64Array], slopes: Float64Array) -> Float64Array:
    energy = cells.numbers @ slopes
    for number, potential in enumerate(potentials):
        energy = energy + potential[cells.codes[:, number]]
    return np.asarray(energy, np.float64)


def _weights(cells: Cells, energy: Float64Array) -> Float64Array:
    weight = cells.counts * np.exp(energy - energy.max(initial=-np.inf))
    return np.asarray(weight / max(float(weight.sum()), 1e-300))


def _reached(
    cells: Cells, potentials: list[Float64Array], slopes: Float64Array, number: int, values: int
) -> Float64Array:
    weight = _weights(cells, _energy(cells, potentials, slopes))
    return np.bincount(cells.codes[:, number], weight, values).astype(np.float64)


def _missed(
    cells: Cells,
    potentials: list[Float64Array],
    slopes: Float64Array,
    shares: Sequence[Float64Array],
    means: Float64Array,
) -> tuple[float, tuple[int, int]]:
    """Return by how much the worst margin is missed, and which that is; means come after the shares."""
    weight = _weights(cells, _energy(cells, potentials, slopes))
    worst, place = 0.0, (0, 0)
    for number, share in enumerate(shares):
        gap = np.abs(np.bincount(cells.codes[:, number], weight, len(share)) - share)
        if len(gap) and gap.max() > worst:
            worst, place = float(gap.max()), (number, int(gap.argmax()))
    for number, gap in enumerate(np.abs(weight @ cells.numbers - means).tolist()):
        if gap > worst:
            worst, place = gap, (len(shares) + number, 0)
    return worst, place
