"""Meet bounds on several margins of a table at once: shares by raking, whole quotas by controlled rounding.

Raking is iterative proportional fitting (Deming and Stephan 1940), here with bounds in place of totals: the cells keep
the proportions of their weights as nearly as the margins and the caps allow (least Kullback-Leibler divergence), found
one margin after another in the dual. Controlled rounding (Cox 1987) then takes every cell, every margin and the total
to a whole number next to it; with one or two margins there always is such a table.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from evenkeel.infra.hashing import uniform
from evenkeel.tasks.sample.quotas.allocation import Allocation

if TYPE_CHECKING:
    from scipy.sparse import csr_array

SWEEPS, CHECK_EVERY = 4000, 20
NEAR = 1e-4
LARGEST_FACTOR = 1e30
MISSED_ROW, NODES = 1e3, 200


@dataclass(frozen=True)
class Margin:
    """Bounds on the sums of cells that share a value.

    of: (n,) int64, the value of each cell. lower, upper: (values,) int64. label: says which value a number is.
    """

    of: NDArray[np.int64]
    lower: NDArray[np.int64]
    upper: NDArray[np.int64]
    label: Callable[[int], str]

    def sums(self, cells: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the sum of the cells of each value, (values,) float64."""
        return np.bincount(self.of, cells, len(self.lower)).astype(np.float64)


class Raked(NamedTuple):
    """Shares of cells, (n,) float64, and how many rows the worst margin is out of its bounds."""

    shares: NDArray[np.float64]
    missed: float

    @property
    def meets(self) -> bool:
        """Return whether the bounds are met, up to rounding errors."""
        return self.missed <= NEAR


def rake(
    weights: NDArray[np.float64], caps: NDArray[np.int64], margins: Sequence[Margin], target: int, sweeps: int = SWEEPS
) -> Raked:
    """Return shares that sum to `target`, none above its cap, in proportion to the weights as far as the margins allow.

    weights, caps: (n,). Where no table meets the margins, or only in the limit of very many sweeps, `missed` says so.
    """
    everything = _total(len(weights), target)
    parts, high = [everything, *margins], caps.astype(np.float64)
    base = np.where(caps > 0, np.maximum(weights, np.finfo(float).tiny), 0.0)
    base *= target / max(float(base.sum()), 1e-300)
    factors, factor = [np.ones(len(part.lower)) for part in parts], np.ones(len(base))
    shares, missed = np.minimum(high, base), np.inf
    for sweep in range(sweeps):
        for place, part in enumerate(parts):
            sums, old = part.sums(np.minimum(high, base * factor)), factors[place]
            with np.errstate(divide="ignore", invalid="ignore"):
                needed, allowed = old * part.lower / sums, old * part.upper / sums
            held = np.where(sums > 0, np.minimum(np.maximum(1.0, needed), allowed), old) if place else needed
            factors[place] = np.clip(np.nan_to_num(held, nan=1.0), 1 / LARGEST_FACTOR, LARGEST_FACTOR)
            factor *= (factors[place] / old)[part.of]
        if sweep % CHECK_EVERY == CHECK_EVERY - 1:
            shares = np.minimum(high, base * factor)
            missed = max(_missed(part, part.sums(shares)) for part in parts)
            if missed <= NEAR / 10:
                break
    return Raked(shares, missed)


def round_to_margins(
    shares: NDArray[np.float64], caps: NDArray[np.int64], margins: Sequence[Margin], target: int, seed: int
) -> Allocation:
    """Return whole quotas next to the shares whose margins are within their bounds and next to the sums of the shares.

    Which cells are rounded up follows a draw for each cell by `seed`, so that a cell's expectation is nearly its share.
    With three margins and more there may be no such table; the fewest rows that are possible then miss a margin.
    """
    whole = np.floor(shares + NEAR / 10).astype(np.int64)
    over = np.flatnonzero((shares - whole > NEAR / 10) & (whole < caps))
    if not len(over):
        return Allocation(whole, shares)
    lower, upper = [], []
    parts = [_total(len(shares), target), *margins]
    for margin in parts:
        sums, fixed = margin.sums(shares), margin.sums(whole.astype(np.float64))
        low = np.maximum(margin.lower, np.floor(sums + NEAR)) - fixed
        high = np.minimum(margin.upper, np.ceil(sums - NEAR)) - fixed
        lower.append(np.minimum(low, high))
        upper.append(np.maximum(low, high))
    low, high = np.concatenate(lower), np.concatenate(upper)
    table = _incidence(parts, over)
    cost = uniform(seed, np.arange(len(shares))[over].astype(np.uint64)) - (shares - whole)[over]
    found = _vertex(table, low, high, cost)
    between = np.flatnonzero(np.abs(found - np.rint(found)) > NEAR)
    up = np.rint(found).astype(np.int64)
    if len(between):
        up[between] = 0
        taken = table @ up
        up[between] = _fewest_missed(table[:, between], low - taken, high - taken, cost[between])
    whole[over] += up
    return Allocation(whole, shares)


def _vertex(
    table: "csr_array", low: NDArray[np.float64], high: NDArray[np.float64], cost: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the cheapest x in [0, 1] with low <= table x <= high, (m,) float64, at a vertex.

    With one or two margins vertices are whole. Where no x is within the bounds, 0.5 everywhere.
    """
    from scipy.optimize import Bounds, LinearConstraint, milp

    found = milp(cost, constraints=LinearConstraint(table, low, high), bounds=Bounds(0, 1))
    return np.full(len(cost), 0.5) if found.x is None else np.asarray(found.x)


def _fewest_missed(
    table: "csr_array", low: NDArray[np.float64], high: NDArray[np.float64], cost: NDArray[np.float64]
) -> NDArray[np.int64]:
    """Return whole x in {0, 1} that leave low <= table x <= high by the fewest rows, (m,) int64; the first sum is kept.

    Branch and bound, cut off after as many nodes as decide within a second; what it has then is taken.
    """
    from scipy.optimize import Bounds, LinearConstraint, milp
    from scipy.sparse import block_array, coo_array, eye_array

    sums, count = table.shape
    free = block_array([[coo_array((1, sums - 1))], [eye_array(sums - 1)]])
    found = milp(
        np.concatenate([cost, np.full(2 * (sums - 1), MISSED_ROW)]),
        constraints=LinearConstraint(block_array([[table, free, -free]], format="csr"), low, high),
        bounds=Bounds(0, np.concatenate([np.ones(count), np.full(2 * (sums - 1), np.inf)])),
        integrality=np.concatenate([np.ones(count), np.zeros(2 * (sums - 1))]),
        options={"node_limit": NODES, "mip_rel_gap": 0.01},
    )
    if found.x is None:
        first = np.argsort(cost, kind="stable")[: round(float(low[0]))]
        return np.isin(np.arange(count), first).astype(np.int64)
    whole: NDArray[np.int64] = np.rint(found.x[:count]).astype(np.int64)
    return whole


def conflict(caps: NDArray[np.int64], margins: Sequence[Margin], target: int) -> tuple[float, list[str]]:
    """Return how many rows the margins miss together at least, and the bounds that cause it; (0, []) where none is.

    An elastic linear program: the least sum of violations, and the bounds whose dual price is not zero.
    """
    from scipy.optimize import linprog
    from scipy.sparse import block_array, eye_array

    count = len(caps)
    sums = _incidence(margins, np.arange(count))
    values = sums.shape[0]
    slack = eye_array(values)
    found = linprog(
        np.concatenate([np.zeros(count), np.ones(2 * values)]),
        A_ub=block_array([[sums, None, -slack], [-sums, -slack, None]], format="csr"),
        b_ub=np.concatenate([*(one.upper for one in margins), *(-one.lower for one in margins)]),
        A_eq=np.concatenate([np.ones(count), np.zeros(2 * values)])[None],
        b_eq=[target],
        bounds=np.stack([np.zeros(count + 2 * values), np.concatenate([caps, np.full(2 * values, np.inf)])], axis=1),
    )
    if found.fun < NEAR:
        return 0.0, []
    prices = np.abs(found.ineqlin.marginals).reshape(2, values)
    named, first = [], 0
    for one in margins:
        for number in range(len(one.lower)):
            most, least = prices[:, first + number] > 1e-9
            named += [f"{one.label(number)} at most {one.upper[number]:,}"] if most else []
            named += [f"{one.label(number)} at least {one.lower[number]:,}"] if least else []
        first += len(one.lower)
    return float(found.fun), named


def _incidence(margins: Sequence[Margin], cells: NDArray[np.int64]) -> "csr_array":
    """Return which of some cells add to which sum, (sums, cells) of 0 and 1, one margin below the other."""
    from scipy.sparse import block_array, coo_array

    ones, places = np.ones(len(cells)), np.arange(len(cells))
    parts = [[coo_array((ones, (one.of[cells], places)), (len(one.lower), len(cells)))] for one in margins]
    return block_array(parts, format="csr")


def move_within(
    shares: NDArray[np.float64], caps: NDArray[np.int64], margins: Sequence[Margin], target: int
) -> NDArray[np.float64]:
    """Return the shares that meet the margins and are nearest to some that do not, by the sum of differences, (n,).

    For margins that raking comes near to in ever smaller steps, as where cells must become empty.
    """
    from scipy.optimize import linprog
    from scipy.sparse import block_array

    count, parts = len(caps), [_total(len(caps), target), *margins]
    sums = _incidence(parts, np.arange(count))
    have = sums @ shares
    change = block_array([[sums, -sums], [-sums, sums]], format="csr")
    upper, lower = (np.concatenate([getattr(one, side) for one in parts]) for side in ("upper", "lower"))
    room = np.concatenate([np.maximum(0.0, caps - shares), shares])
    found = linprog(
        np.tile(1 / (shares + 1), 2),
        A_ub=change,
        b_ub=np.concatenate([upper - have, have - lower]),
        bounds=np.stack([np.zeros(2 * count), room], axis=1),
    )
    moved: NDArray[np.float64] = shares if found.x is None else shares + found.x[:count] - found.x[count:]
    return moved


def _total(cells: int, target: int) -> Margin:
    return Margin(np.zeros(cells, np.int64), np.array([target]), np.array([target]), lambda _: "the target")


def _missed(margin: Margin, sums: NDArray[np.float64]) -> float:
    return float(max((margin.lower - sums).max(), (sums - margin.upper).max()))
