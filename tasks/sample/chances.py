"""Choose rows by their weights: which copies of which row, and with which inclusion probability.

poisson: inclusion probabilities. The expected copies of a row are min(copies, c * weight), c so that they sum to the
quota of the cell; their whole part is certain, and what is left is drawn by order sampling of fixed size: the smallest
u / (1 - u) * (1 - chance) / chance first (Pareto sampling; Rosen 1997), which keeps chances more closely than u /
chance (sequential Poisson sampling; Ohlsson 1998). One row of a cell is drawn by the smallest -log(1 - u) / weight,
whose chance is exact. gumbel: the smallest -log(u) / weight, which is drawing one by one in proportion to the weights
(Gumbel top-k); probabilities from the first value left out (bottom-k sketches; Cohen and Kaplan 2007). top: the largest
weights. u is hashed from seed and identity.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evenkeel.tasks.sample.candidates import Columns
from evenkeel.tasks.sample.cells import rank_in_cell, take
from evenkeel.tasks.sample.draw_plan import Draw
from evenkeel.tasks.sample.weigh import WeightSketch

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Bounds:
    """Which rows a block hands in: those that may be chosen, by a bound for every cell.

    poisson: rows with u <= limit * weight. gumbel: copies with -log(u) <= limit * weight. top: rows with weight >=
    limit. Whether the bounds were wide enough is checked after the choice.
    """

    draw: Draw
    limits: Floats

    @classmethod
    def of(cls, draw: Draw, sketch: WeightSketch, quotas: NDArray[np.int64], copies: int, wider: Floats) -> "Bounds":
        """Return bounds that let in a few more rows than every quota; wider: (cells,) by how much, 1 at first."""
        if draw == "top":
            return cls(draw, sketch.lower_bounds(quotas))
        enough = quotas / (1.0 if draw == "poisson" else 1.0 - np.exp(-1.0))
        wanted = np.where(quotas > 0, wider * (1.05 * enough + 4 * np.sqrt(enough) + 4), 0.0)
        return cls(draw, sketch.scale(wanted, copies if draw == "poisson" else 1))


@dataclass(frozen=True)
class Choice:
    """The chosen rows. copies: (n,) int64. probability: (n,) float64. narrow: (cells,) bool, bounds that were too
    narrow to be sure."""

    rows: Columns
    copies: NDArray[np.int64]
    probability: Floats
    narrow: NDArray[np.bool_]


def choose_poisson(
    first: Columns,
    sketch: WeightSketch,
    quotas: NDArray[np.int64],
    shares: Floats,
    copies: int,
    limits: Floats,
) -> Choice:
    """Return the rows by inclusion probabilities. first: cell, row_id, weight and u of the rows within bounds.

    shares: (cells,) expected rows; below one row they replace the quota in the probabilities, as the quota is then one
    row or none.
    """
    from evenkeel.tasks.sample.scale import scale_of_cells

    cell, weight, u = first["cell"], first["weight"], first["u"]
    present = np.bincount(cell, minlength=len(quotas))
    rest = sketch.totals(len(quotas)) - np.bincount(cell, weight, len(quotas))
    rest = np.where(present < sketch.rows(len(quotas)), np.maximum(rest, 0.0), 0.0)
    wanted = np.where((shares < 1) & (quotas > 0), shares, quotas.astype(np.float64))
    factor = scale_of_cells(cell, weight, np.ones(len(cell), np.int64), rest, wanted, copies)
    expected = np.minimum(factor[cell] * weight, float(copies))
    sure = np.floor(expected)
    with np.errstate(divide="ignore", invalid="ignore"):
        chance = expected - sure
        pareto = np.where(chance > 0, u / (1.0 - u) * ((1.0 - chance) / chance), np.inf)
        single = -np.log1p(-u) / weight
        last = np.where(quotas == 1, limits, limits / factor)  # a row beyond the bounds has a value above this
    value = np.where((quotas == 1)[cell] & (sure == 0), single, pareto)
    order = np.lexsort((first["row_id"], value, cell))
    first, sure, expected, value = take(first, order), sure[order], expected[order], value[order]
    left = quotas - np.rint(np.bincount(first["cell"], sure, len(quotas))).astype(np.int64)
    drawn = (rank_in_cell(first["cell"]) < left[first["cell"]]) & (sure < copies)
    taken = (sure + drawn).astype(np.int64)
    worst = np.zeros(len(quotas))
    drawn &= np.isfinite(value)
    np.maximum.at(worst, first["cell"][drawn], value[drawn])
    doubtful = np.isfinite(limits) & ((worst > last) | (factor > limits))
    narrow = _unfilled(first["cell"], taken, quotas, copies, sketch) | doubtful
    held = taken > 0
    return Choice(take(first, held), taken[held], np.minimum(1.0, expected[held]), narrow)


def choose_gumbel(first: Columns, sketch: WeightSketch, quotas: NDArray[np.int64], copies: int) -> Choice:
    """Return the rows drawn one by one in proportion to their weights. first: `value` of every copy within bounds."""
    first = take(first, np.lexsort((first["row_id"], first["value"], first["cell"])))
    cell = first["cell"]
    rank = rank_in_cell(cell)
    threshold = np.full(len(quotas), np.inf)
    beyond = rank == quotas[cell]
    threshold[cell[beyond]] = first["value"][beyond]
    kept = take(first, rank < quotas[cell])
    present = np.bincount(cell, minlength=len(quotas))
    narrow = (quotas > 0) & (present < np.minimum(quotas + 1, copies * sketch.rows(len(quotas))))
    order = np.argsort(kept["row_id"], kind="stable")
    _, place, taken = np.unique(kept["row_id"][order], return_index=True, return_counts=True)
    chosen = take(kept, order[place])
    probability = -np.expm1(-copies * chosen["weight"] * threshold[chosen["cell"]])
    return Choice(chosen, taken, probability, narrow)


def choose_top(first: Columns, sketch: WeightSketch, quotas: NDArray[np.int64], copies: int) -> Choice:
    """Return the rows with the largest weights, ties by hash; repeated where the quota is larger than the cell."""
    first = take(first, np.lexsort((first["row_id"], first["u"], -first["weight"], first["cell"])))
    cell, sizes = first["cell"], np.maximum(1, sketch.rows(len(quotas)))
    whole = np.minimum(quotas // sizes, copies)
    taken = whole[cell] + ((rank_in_cell(cell) < (quotas - whole * sizes)[cell]) & (whole < copies)[cell])
    narrow = _unfilled(cell, taken, quotas, copies, sketch)
    held = taken > 0
    probability = np.minimum(1.0, quotas / sizes)[cell[held]]
    return Choice(take(first, held), taken[held].astype(np.int64), probability, narrow)


def _unfilled(
    cell: NDArray[np.int64],
    taken: NDArray[np.int64] | NDArray[np.bool_],
    quotas: NDArray[np.int64],
    copies: int,
    sketch: WeightSketch,
) -> NDArray[np.bool_]:
    """Return which cells gave fewer rows than they have to give, (cells,) bool."""
    given = np.rint(np.bincount(cell, taken, len(quotas))).astype(np.int64)
    return given < np.minimum(quotas, copies * sketch.rows(len(quotas)))
