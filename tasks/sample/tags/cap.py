"""The cap t on the rows of a tag, and the chances of rows that follow from it.

Source: MetaCLIP (arXiv 2309.16671). A tag with n rows passes one of them with chance min(1, t / n); a row is kept if
any of its tags passes it, with chance 1 - prod (1 - min(1, t / n)). The cap and the number of rows are one choice: t is
where the chances sum to the target.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from evenkeel.infra.compiled import compiled
from evenkeel.infra.dtypes import Float64Array, Int32Array, Int64Array
from evenkeel.tasks.sample.candidates import CandidateRows
from evenkeel.tasks.sample.tags.counts import counts_of
from evenkeel.tasks.signal.entries.tag_lists import TagLists

POINTS = 64
PASSES = 8
FEWEST = 0.25  # rows by which the chances may sum to less than the target; for large targets a millionth of it

Expected = Callable[[Float64Array], Float64Array]


class Cap(NamedTuple):
    """A cap, and the rows that its chances sum to."""

    cap: float
    expected: float


@dataclass(frozen=True)
class TagChances:
    """The chance of every row under a cap. counts: signal -> table of the step `tag-counts`."""

    counts: dict[str, str]
    cap: float

    @property
    def columns(self) -> list[str]:
        """The columns that chances are read from."""
        return [f"tags.{name}" for name in self.counts]

    def __call__(self, table: pa.Table, block: str) -> Float64Array:
        """Return the chances of the rows of a block, (n,) float64; 0 for a row without a tag."""
        return self.under(table, np.array([self.cap]))[:, 0]

    def under(self, table: pa.Table, caps: Float64Array) -> Float64Array:
        """Return the chances under each of several caps, (n, caps) float64."""
        passed_by = np.ones((table.num_rows, len(caps)))
        for name, uri in self.counts.items():
            lists = TagLists.of(table[f"tags.{name}"])
            _multiply(lists.codes, lists.offsets, counts_of(lists.names, uri), caps, passed_by)
        return 1.0 - passed_by


def expected_rows(block: str, rows: CandidateRows, chances: TagChances, caps: Float64Array) -> Float64Array:
    """Return the sum of the chances of a block's rows under each cap, (caps,) float64."""
    sums: Float64Array = chances.under(rows.table(block, chances.columns), caps).sum(axis=0)
    return sums


def solve_cap(expected: Expected, target: float, largest: int, matched: int) -> Cap:
    """Return the largest cap whose chances sum to at most the target, found by narrowing a grid of caps.

    expected: the sums under several caps, ascending. largest: rows of the most frequent tag. matched: rows with a tag.
    Where all of these are wanted, the cap is the count of the most frequent tag: every chance is 1.
    """
    if target >= matched:
        return Cap(float(largest), float(matched))
    low, high, reached = 0.0, float(largest), 0.0
    caps = np.geomspace(largest * 1e-9, largest, POINTS)
    for _ in range(PASSES):
        sums = expected(caps)
        below = int(np.searchsorted(sums, target, side="right"))
        if below:
            low, reached = float(caps[below - 1]), float(sums[below - 1])
        high = float(caps[below]) if below < len(caps) else high
        if target - reached <= max(FEWEST, 1e-6 * target) or high - low <= 1e-12 * high:
            break
        caps = np.linspace(low, high, POINTS + 2)[1:-1]
    return Cap(low, reached)


def cap_of_tail(counts: Int64Array, tail_share: float) -> float:
    """Return the smallest count such that tags up to it make up `tail_share` of all matches."""
    ordered = np.sort(counts[counts > 0])
    if not len(ordered):
        return 1.0
    place = int(np.searchsorted(np.cumsum(ordered) / ordered.sum(), tail_share))
    return float(ordered[min(place, len(ordered) - 1)])


@compiled
def _multiply(
    codes: Int32Array, offsets: Int64Array, counts: Int64Array, caps: Float64Array, into: Float64Array
) -> None:
    """Multiply the probability that no tag passes a row, (n, caps), by that of the tags of one signal."""
    for row in range(len(offsets) - 1):
        for place in range(offsets[row], offsets[row + 1]):
            count = max(counts[codes[place]], 1)
            for one in range(len(caps)):
                share = caps[one] / count
                into[row, one] = 0.0 if share >= 1.0 else into[row, one] * (1.0 - share)
