"""Optimal transport with an entropy term, between two weighted samples.

Sinkhorn iterations (Cuturi 2013, arXiv 1306.0895), stabilised by absorbing large scalings into the potentials, with an
entropy term that shrinks to the one wanted (Schmitzer 2019, arXiv 1610.06519). Unbalanced transport (Chizat et al.
2018, arXiv 1607.05816) pays for weight that it leaves or adds, by its divergence, in place of moving it at any cost.
Partial transport (Caffarelli and McCann 2010; Benamou et al. 2015, arXiv 1412.5154, for its scalings) takes of the
first sample what serves the second best, and leaves the rest.
"""

from typing import NamedTuple

import numpy as np

from evenkeel.infra.dtypes import Float32Array, Float64Array

LARGE = 1e60
FACTOR = 0.25


class Transport(NamedTuple):
    """A solution. cost: of the plan, without the entropy term. f, g: (n,), (m,) float64, the dual potentials.

    error: by how much the plan misses the weights of the first sample, summed. epsilon: the entropy term.
    """

    cost: float
    f: Float64Array
    g: Float64Array
    error: float
    epsilon: float


def squared_distances(x: Float32Array, y: Float32Array) -> Float64Array:
    """Return the squared Euclidean distances of rows, (n, m) float64."""
    a, b = x.astype(np.float64), y.astype(np.float64)
    found: Float64Array = np.maximum((a**2).sum(1)[:, None] - 2 * (a @ b.T) + (b**2).sum(1), 0.0)
    return found


def transport(
    a: Float64Array,
    b: Float64Array,
    cost: Float64Array,
    epsilon: float,
    iterations: int = 500,
    tolerance: float = 1e-4,
    unbalanced: float | None = None,
    partial: bool = False,
) -> Transport:
    """Return the transport between weights a (n,) and b (m,), each summing to 1, at costs (n, m) >= 0.

    epsilon: the entropy term in units of the mean cost. unbalanced: the price of a unit of divergence of the plan's
    weights from a and b, in the same units; None = the plan has these weights. Rows and columns without weight are left
    out of the plan. partial: a sums to more than 1, and a row gives at most its weight; its potential is below 0 where
    it gives all of it, and unbalanced is then of b alone.
    """
    rows, columns = a > 0, b > 0
    mean = float(cost.mean()) or 1.0
    c, p, q = cost[np.ix_(rows, columns)] / mean, a[rows], b[columns]
    f, g = np.zeros(len(p)), np.zeros(len(q))
    eps = max(epsilon, 1.0)
    while True:
        last = eps <= epsilon
        f, g, error = _balance(p, q, c, f, g, eps, iterations if last else 50, tolerance, unbalanced, partial)
        if last:
            break
        eps = max(epsilon, eps * FACTOR)
    plan = np.exp((f[:, None] + g - c) / eps) * p[:, None] * q
    whole_f, whole_g = np.zeros(len(a)), np.zeros(len(b))
    whole_f[rows], whole_g[columns] = f * mean, g * mean
    return Transport(float((plan * c).sum()) * mean, whole_f, whole_g, error, eps * mean)


def _balance(
    p: Float64Array,
    q: Float64Array,
    c: Float64Array,
    f: Float64Array,
    g: Float64Array,
    eps: float,
    iterations: int,
    tolerance: float,
    unbalanced: float | None,
    partial: bool,
) -> tuple[Float64Array, Float64Array, float]:
    """Return potentials whose plan has the weights p and q within the error, or as near to them as pays."""
    kernel = np.exp((f[:, None] + g - c) / eps) * p[:, None] * q
    u, v, error = np.ones(len(p)), np.ones(len(q)), np.inf
    power = 1.0 if unbalanced is None else unbalanced / (unbalanced + eps)

    def scaling(wanted: Float64Array, sums: Float64Array, absorbed: Float64Array) -> Float64Array:
        found: Float64Array = wanted / np.maximum(sums, 1e-300)
        return found if unbalanced is None else found**power * np.exp(-absorbed / (unbalanced + eps))

    for step in range(iterations):
        v = scaling(q, kernel.T @ u, g)
        rows = kernel @ v
        before, u = u, np.minimum(p / np.maximum(rows, 1e-300), np.exp(-f / eps)) if partial else scaling(p, rows, f)
        if step % 10 == 9:
            error = float(np.abs((before - u) * rows).sum())
            if error < tolerance:
                break
        if max(u.max(), v.max()) > LARGE or min(u.min(), v.min()) < 1 / LARGE:
            f, g = f + eps * np.log(u), g + eps * np.log(v)
            kernel = np.exp((f[:, None] + g - c) / eps) * p[:, None] * q
            u, v = np.ones(len(p)), np.ones(len(q))
    return f + eps * np.log(u), g + eps * np.log(v), error


def potential(x: Float32Array, y: Float32Array, b: Float64Array, g: Float64Array, epsilon: float) -> Float64Array:
    """Return the potential f of rows that were in no sample, (n,) float64: the soft minimum over y of cost - g."""
    z = (g - squared_distances(x, y)) / epsilon
    top = z.max(axis=1)
    found: Float64Array = -epsilon * (top + np.log(np.exp(z - top[:, None]) @ b))
    return found
