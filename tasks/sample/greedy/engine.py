"""Lazy greedy maximisation of a set function.

Source: Minoux 1978. Where what a row adds only falls as others are chosen (the function is submodular), an old gain is
an upper bound: a row whose gain, computed anew, is still above all old ones is the best. The rows, and their order, are
those of plain greedy, which computes every gain again in every round.
"""

import heapq
from typing import NamedTuple, Protocol

import numpy as np

from evenkeel.infra.dtypes import Float64Array, Int64Array


class SetFunction(Protocol):
    """A function of a set of rows 0 .. n - 1 whose gains only fall; it holds the rows that were added."""

    def gains(self) -> Float64Array:
        """Return what every row would add now, (n,) float64."""

    def gain(self, row: int) -> float:
        """Return what a row would add now."""

    def add(self, row: int) -> None:
        """Add a row to the set."""


class Chosen(NamedTuple):
    """Rows in the order in which they were chosen.

    order: (k,) int64. gains: (k,) float64, what each added. evaluations: how many gains were computed.
    """

    order: Int64Array
    gains: Float64Array
    evaluations: int

    @property
    def value(self) -> float:
        """The value of the set: all gains together."""
        return float(self.gains.sum())


def lazy_greedy(function: SetFunction, wanted: int) -> Chosen:
    """Return `wanted` rows, or all there are, each the one that adds most to those before it; ties to the lowest."""
    first = function.gains()
    wanted = min(wanted, len(first))
    heap = list(zip((-first).tolist(), range(len(first)), strict=True))
    heapq.heapify(heap)
    computed_at = np.zeros(len(first), np.int64)
    order, gains, evaluations = np.empty(wanted, np.int64), np.empty(wanted), len(first)
    for place in range(wanted):
        while True:
            bound, row = heap[0]
            if computed_at[row] == place:
                break
            evaluations += 1
            computed_at[row] = place
            heapq.heapreplace(heap, (-function.gain(row), row))
        heapq.heappop(heap)
        function.add(row)
        order[place], gains[place] = row, -bound
    return Chosen(order, gains, evaluations)
