"""Structure that the clusters did not make: the label-free measure of balance behind the default strategy.

A sample of rows, spread over all leaves, is split in two halves. At many scales each half on its own cuts the space
into cells around a maximal set of its rows more than `scale` apart, which covers the support whatever the density. How
far the two cuts agree (adjusted Rand index) says how real the structure is at that scale. A selection is the more
balanced, the more evenly it spreads over the cells of the cuts that are real. Ours; the agreement of halves as a sign
of structure is the idea of prediction strength (Tibshirani and Walther 2005).
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Cells = NDArray[np.int64]
SCALES = 16
REAL = 0.02
FEWEST = 8
SHARPNESS = 4


@dataclass(frozen=True)
class Probe:
    """Rows drawn evenly from the leaves.

    vectors: (m, d) float32. leaf: (m,) int64. portion: (m,) float64, the part of its leaf that a row stands for; the
    portions of a leaf sum to 1. half: (m,) bool, which half a row is in.
    """

    vectors: Floats
    leaf: NDArray[np.int64]
    portion: NDArray[np.float64]
    half: NDArray[np.bool_]

    def mass(self, shares: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return what each row of the probe stands for when leaves give these shares, (m,) float64."""
        mass: NDArray[np.float64] = shares[self.leaf] * self.portion
        return mass


@dataclass(frozen=True)
class Cut:
    """One cut of the space at one scale, made by each half on its own.

    cells: for the cut of the first and of the second half, the cell of every row of the probe, (m,). agreement:
    adjusted Rand index of the two.
    """

    scale: float
    cells: tuple[Cells, Cells]
    agreement: float

    @cached_property
    def counts(self) -> tuple[int, int]:
        """Return the number of cells of each half's cut."""
        return int(self.cells[0].max()) + 1, int(self.cells[1].max()) + 1

    def unevenness(self, mass: NDArray[np.float64]) -> float:
        """Return 1 - normalised entropy of a mass over the cells, in [0, 1], the mean of both halves' cuts."""
        found = []
        for cells, count in zip(self.cells, self.counts, strict=True):
            shares = np.bincount(cells, mass, count) / mass.sum()
            held = shares[shares > 0]
            found.append(1.0 + (held * np.log(held)).sum() / np.log(count))
        return float(np.mean(found))


def unevenness(cuts: list[Cut], mass: NDArray[np.float64]) -> float:
    """Return the mean unevenness of a mass over all cuts, weighted by how real each is."""
    weights = [cut.agreement**SHARPNESS for cut in cuts]
    return float(np.average([cut.unevenness(mass) for cut in cuts], weights=weights))


def find_cuts(probe: Probe, seed: int) -> list[Cut]:
    """Return the cuts at all scales where the two halves agree better than by chance; [] for a handful of rows."""
    centred = probe.vectors - probe.vectors.mean(axis=0)
    sides = [probe.half, ~probe.half]
    if min(side.sum() for side in sides) < 8:
        return []
    to_sides = [distances(centred, centred[side]) for side in sides]
    within = [to_side[side] for to_side, side in zip(to_sides, sides, strict=True)]
    rng = np.random.default_rng(seed)
    orders = [rng.permutation(len(square)) for square in within]
    found = []
    for scale in scales(within[0]):
        centres = [separated(square, order, scale) for square, order in zip(within, orders, strict=True)]
        if all(FEWEST <= len(part) <= len(square) // 4 for part, square in zip(centres, within, strict=True)):
            cells = [to_side[:, part].argmin(axis=1) for to_side, part in zip(to_sides, centres, strict=True)]
            found.append(Cut(float(scale), (cells[0], cells[1]), adjusted_rand(cells[0], cells[1])))
    return [cut for cut in found if cut.agreement > REAL]


def distances(rows: Floats, others: Floats) -> Floats:
    """Return Euclidean distances, (n, m) float32."""
    squares = (rows * rows).sum(axis=1)[:, None] + (others * others).sum(axis=1)
    squares -= 2 * rows @ others.T
    lengths: Floats = np.sqrt(np.maximum(squares, 0, out=squares), out=squares)
    return lengths


def scales(within: Floats) -> NDArray[np.float64]:
    """Return the scales to look at: from a typical nearest neighbour to the span of the data, in equal ratios."""
    some = within[:512]
    nearest = np.partition(some, 1, axis=1)[:, 1]
    if not (nearest > 0).any():
        return np.empty(0)
    low, high = np.quantile(nearest[nearest > 0], 0.25), np.quantile(some, 0.9)
    return np.geomspace(float(low), float(high), SCALES) if low < high else np.empty(0)


def separated(within: Floats, order: NDArray[np.int64], scale: float) -> NDArray[np.int64]:
    """Return a maximal set of rows more than `scale` apart, taken in `order`; stops where a quarter of them are in."""
    open_rows, chosen = np.ones(len(within), bool), []
    for row in order:
        if open_rows[row]:
            chosen.append(row)
            if len(chosen) > len(within) // 4:
                break
            open_rows &= within[row] > scale
    return np.array(chosen)


def adjusted_rand(first: Cells, second: Cells) -> float:
    """Return the adjusted Rand index of two labellings (Hubert and Arabie 1985): 1 = the same, 0 = by chance."""
    wide = int(second.max()) + 1
    together = np.unique(first * wide + second, return_counts=True)[1]
    pairs = [(counts * (counts - 1.0) / 2).sum() for counts in (together, np.bincount(first), np.bincount(second))]
    expected = pairs[1] * pairs[2] / max(1.0, len(first) * (len(first) - 1.0) / 2)
    return float((pairs[0] - expected) / max(1e-12, (pairs[1] + pairs[2]) / 2 - expected))
