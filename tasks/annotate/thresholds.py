"""Take a stated number of copies from every cell, those first that have been taken least, in bounded memory.

Copy j of a row that counts c times stands at (j + u) / c, where u is the hash of its id in (0, 1). A cell gives the
copies up to a threshold, beginning with each row's first that no stage has taken yet; so a row is not taken again
before the others of its cell, and a row of many copies as often as these say. The threshold is where the expectation
meets the quota, made exact by the copies in a narrow window around it: two passes, whose results grow with the cells
alone.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from evenkeel.infra import storage
from evenkeel.infra.arrays import read_array, write_array
from evenkeel.infra.dtypes import Float64Array, Int32Array, Int64Array
from evenkeel.tasks.sample.strata.count import Counted

CELL_BITS, COPIES_BITS = np.int64(32), np.int64(16)
MASK = np.int64((1 << 16) - 1)
STEPS = 64
DEVIATIONS = 4.0


@dataclass(frozen=True)
class Rows:
    """What is known of the kept rows of a block.

    u: (n,) float64 in (0, 1). copies: (n,) int32 of the version. used: (n,) int32 copies that earlier stages took.
    cell: (n,) int32, -1 for a row that this stage leaves out.
    """

    u: Float64Array
    copies: Int32Array
    used: Int32Array
    cell: Int32Array

    def counted(self) -> Counted:
        """Return how many rows have each cell, copies and used, packed in one number."""
        there = self.cell >= 0
        key = (self.cell[there].astype(np.int64) << CELL_BITS) | (self.copies[there].astype(np.int64) << COPIES_BITS)
        return Counted(*np.unique(key | self.used[there], return_counts=True))

    def taken(self, upto: Float64Array, most: int) -> Int64Array:
        """Return how many copies of each row stand at or before the threshold of its cell, (n,) int64, `most` at most.

        upto: (cells,) float64.
        """
        limit = np.where(self.cell >= 0, upto[np.maximum(self.cell, 0)], -np.inf)
        counts = np.full(len(self.u), most, np.int64)
        finite = np.isfinite(limit)
        counts[~finite & (limit < 0)] = 0
        t, u, copies = limit[finite], self.u[finite], self.copies[finite]
        last = np.floor(t * copies - u)
        last = np.where((last + 1 + u) / copies <= t, last + 1, last)
        last = np.where((last + u) / copies > t, last - 1, last)
        counts[finite] = np.clip(last + 1 - self.used[finite], 0, most)
        return counts


class Window(NamedTuple):
    """The copies around the thresholds: how many stand before, (cells,), and cell and place of those inside, sorted."""

    before: Int64Array
    cell: Int32Array
    place: Float64Array


class Sizes(NamedTuple):
    """The rows of every cell by copies and used: cell, copies, used and rows of each combination, sorted by cell."""

    cell: Int64Array
    copies: Int64Array
    used: Int64Array
    rows: Int64Array

    @classmethod
    def of(cls, counted: Counted) -> "Sizes":
        """Unpack what `Rows.counted` packed."""
        keys = counted.keys
        return cls(keys >> CELL_BITS, (keys >> COPIES_BITS) & MASK, keys & MASK, counted.rows)

    def per_cell(self, values: Float64Array | Int64Array, cells: int) -> Float64Array:
        """Return the sums of values over the rows of every cell, (cells,) float64."""
        return np.bincount(self.cell, values * self.rows, cells).astype(np.float64)

    def around(self, quotas: Int64Array, most: int, widen: Float64Array) -> tuple[Float64Array, Float64Array]:
        """Return for every cell the ends of a window that its threshold is in but for a small chance, (cells,) float64.

        widen: (cells,), by how much. Both ends are infinite where the cell gives nothing, or all that it has.
        """
        cells = len(quotas)
        low, high = np.zeros(cells), np.zeros(cells)
        np.maximum.at(high, self.cell, (self.used + most) / self.copies)
        for _ in range(STEPS):
            middle = (low + high) / 2
            below = self.per_cell(self._expected(middle, most), cells) < quotas
            low, high = np.where(below, middle, low), np.where(below, high, middle)
        middle = (low + high) / 2
        share = self._expected(middle, most) % 1.0
        spread = np.sqrt(self.per_cell(share * (1 - share), cells))
        inside = (self._expected(middle, most) > 0) & (self._expected(middle, most) < most)
        density = np.maximum(self.per_cell(self.copies * inside, cells), 1.0)
        width = widen * (DEVIATIONS * spread + DEVIATIONS) / density
        first, last = middle - width, middle + width
        first[quotas <= 0] = last[quotas <= 0] = -np.inf
        full = quotas >= self.per_cell(np.full(len(self.rows), most), cells)
        first[full & (quotas > 0)] = last[full & (quotas > 0)] = np.inf
        return first, last

    def _expected(self, at: Float64Array, most: int) -> Float64Array:
        """Return the expected copies of a row of each combination up to thresholds of the cells."""
        return np.asarray(np.clip(at[self.cell] * self.copies - self.used, 0, most), np.float64)


def look_into(rows: Rows, first: Float64Array, last: Float64Array, most: int) -> Window:
    """Return how many copies of each cell stand at or before `first`, and those behind it, up to `last`."""
    counts = rows.taken(first, most)
    there = rows.cell >= 0
    before = np.bincount(rows.cell[there], counts[there], len(first)).astype(np.int64)
    open_ = there & np.isfinite(first[np.maximum(rows.cell, 0)])
    cells, places = [np.empty(0, np.int32)], [np.empty(0)]
    at = np.flatnonzero(open_)
    step = 0
    while len(at):
        at = at[counts[at] + step < most]
        place = (rows.used[at] + counts[at] + step + rows.u[at]) / rows.copies[at]
        inside = place <= last[rows.cell[at]]
        at = at[inside]
        cells.append(rows.cell[at])
        places.append(place[inside])
        step += 1
    return Window(before, np.concatenate(cells), np.concatenate(places))


def add_windows(one: Window, other: Window) -> Window:
    """Return the windows of two parts of the rows together."""
    return Window(
        one.before + other.before,
        np.concatenate([one.cell, other.cell]),
        np.concatenate([one.place, other.place]),
    )


def exact(found: Window, quotas: Int64Array, first: Float64Array) -> tuple[Float64Array, Int64Array]:
    """Return the thresholds that meet the quotas, (cells,) float64, and the cells whose window missed theirs."""
    order = np.lexsort((found.place, found.cell))
    cell, place = found.cell[order], found.place[order]
    starts = np.searchsorted(cell, np.arange(len(quotas)))
    ends = np.searchsorted(cell, np.arange(len(quotas)), side="right")
    need = quotas - found.before
    finite = np.isfinite(first)
    missed = finite & ((need < 0) | (need > ends - starts))
    upto = first.copy()
    inner = finite & ~missed & (need > 0)
    upto[inner] = place[(starts + need - 1)[inner]]
    return upto, np.flatnonzero(missed)


def save_rows(folder: str, block: str, **arrays: Float64Array | Int32Array) -> None:
    """Write arrays of the kept rows of a block by name."""
    for name, array in arrays.items():
        write_array(_uri(folder, block, name), array)


def read_rows(folder: str, block: str) -> Rows:
    """Return what was written of the kept rows of a block."""
    u: Float64Array = read_array(_uri(folder, block, "u"))
    return Rows(u, *(load(folder, block, name) for name in ("copies", "used", "cell")))


def load(folder: str, block: str, name: str) -> Int32Array:
    """Return one array of the kept rows of a block."""
    array: Int32Array = read_array(_uri(folder, block, name))
    return array


def _uri(folder: str, block: str, name: str) -> str:
    return storage.join(folder, "rows", f"{block}-{name}.npy")
