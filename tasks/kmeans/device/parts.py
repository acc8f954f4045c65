"""The rows of one k-means, parted over several places, each with a device: who asks, and what comes home.

Rows never leave their place. An array of all rows is a `Spread`: a number under which every place keeps its piece.
"""

import itertools
import weakref
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from evenkeel.infra.dtypes import Array, BoolArray, Float32Array, Int64Array
from evenkeel.tasks.kmeans.device.part import Request


class Places(Protocol):
    """Where `part.Place`s are. All calls return once every place is done, so that a place does one thing at a time."""

    @property
    def sizes(self) -> list[int]:
        """Return how many of the rows each place has, in the order of the rows; none is 0."""

    def each(self, requests: Sequence[Request | None], shared: tuple[Any, ...]) -> list[Any]:
        """Return what each place returns for its request, with what all get; places of None are left out."""

    def add(self, requests: Sequence[Request | None], shared: tuple[Any, ...]) -> list[Array]:
        """Do as `each`, and add the arrays that places return, first to first and so on: they are large, k x d.

        They are added in pairs, where they are.
        """


class Spread:
    """An array of all rows, (n, ...), of which every place keeps its piece.

    parts: whose rows these are. peak: the largest number, where it is one of distances.
    """

    def __init__(self, parts: "Parted", number: int) -> None:
        self.parts, self.number, self.peak = parts, number, 0.0

    def __len__(self) -> int:
        return len(self.parts)


def spread_of(array: object) -> Spread:
    """Return an array of all rows as what it is: the loops take it for any other."""
    assert isinstance(array, Spread)
    return array


def number_of(array: object) -> int:
    """Return the number under which an array of all rows is kept."""
    return spread_of(array).number


class Dropped:
    """Numbers of parts, and of their arrays, that nothing refers to any more, until every place has been told."""

    def __init__(self, places: int) -> None:
        self.new: list[tuple[int, int]] = []
        self._untold: list[list[tuple[int, int]]] = [[] for _ in range(places)]

    def watch(self, handle: object, part: int, number: int) -> None:
        """Have numbers dropped once nothing refers to `handle`."""
        weakref.finalize(handle, self.new.append, (part, number)).atexit = False

    def take(self, place: int) -> tuple[tuple[int, int], ...]:
        """Return what a place has not been told yet."""
        fresh, self.new[:] = self.new.copy(), []
        for untold in self._untold:
            untold += fresh
        found, self._untold[place] = tuple(self._untold[place]), []
        return found


class Parted:
    """All rows, or some of them, (n, d), with a part at every place, which may be empty.

    number: of the parts at their places. sizes: rows of each.
    """

    def __init__(
        self, places: Places, number: int = 0, sizes: Sequence[int] | None = None, dropped: Dropped | None = None
    ) -> None:
        self.places, self.number = places, number
        self.sizes = list(places.sizes if sizes is None else sizes)
        self.ends = np.cumsum(self.sizes)
        self._counter = itertools.count(1)
        self._dropped = Dropped(len(self.sizes)) if dropped is None else dropped

    def __len__(self) -> int:
        return int(self.ends[-1])

    def each(
        self, method: str, *shared: Any, own: Sequence[tuple[Any, ...] | None] | None = None, keep: int | None = None
    ) -> list[Any]:
        """Return what a method of every part that has rows returns.

        shared: arguments for all. own: those of each part, of all places, before them; None = it is left out. keep: the
        number that the parts which come out get.
        """
        return self.places.each(self._requests(method, own, keep), shared)

    def sum(self, method: str, *shared: Any) -> list[Array]:
        """Return the sums of the arrays that a method of every part returns."""
        return [np.sum(arrays, axis=0) for arrays in zip(*self.each(method, *shared), strict=True)]

    def sum_large(self, method: str, *shared: Any) -> list[Array]:
        """Do as `sum`, for arrays that are added where they are."""
        return self.places.add(self._requests(method, None, None), shared)

    def new(self) -> Any:
        """Return an array of all rows that is not filled yet; places let go of it when nothing refers to it any more.

        Typed as any array: the loops pass it on and ask for its length alone.
        """
        spread = Spread(self, next(self._counter))
        self._dropped.watch(spread, self.number, spread.number)
        return spread

    def child(self, method: str, *shared: Any, own: Sequence[tuple[Any, ...] | None] | None = None) -> "Parted":
        """Return what a method makes of every part: parts of some of their rows."""
        number = next(_numbers)
        found = iter(self.each(method, *shared, own=own, keep=number))
        asked = [size and (own is None or own[at] is not None) for at, size in enumerate(self.sizes)]
        made = Parted(self.places, number, [next(found) if one else 0 for one in asked], self._dropped)
        self._dropped.watch(made, number, -1)
        return made

    def spread(self, array: Array) -> Any:
        """Keep an array of this machine, (n,), piece by piece where the rows are."""
        kept = self.new()
        pieces = np.split(array, self.ends[:-1])
        self.each("put", own=[(kept.number, piece) for piece in pieces])
        return kept

    def home(self, array: object) -> Array:
        """Return an array of all rows in this machine's memory."""
        return np.concatenate(self.each("get", number_of(array)))

    def local(self, index: Int64Array) -> list[tuple[BoolArray, Int64Array]]:
        """Return, for every place, which of some rows, (m,), are there, and their numbers there."""
        at = np.searchsorted(self.ends, index, side="right")
        return [(at == place, index[at == place] - end + size) for place, (end, size) in enumerate(self._bounds())]

    def gather(self, index: Int64Array) -> Float32Array:
        """Return rows, (m, d), in this machine's memory; their number never follows from that of all."""
        where = self.local(index)
        found = self.each("gather", own=[(local,) if len(local) else None for _, local in where])
        rows = np.empty((len(index), found[0].shape[1]), np.float32)
        for (here, _), part in zip((one for one in where if len(one[1])), found, strict=True):
            rows[here] = part
        return rows

    def global_rows(self, found: Sequence[Int64Array]) -> Int64Array:
        """Return the numbers among all rows, one behind the other, of rows of every part that has any."""
        firsts = [end - size for end, size in self._bounds() if size]
        return np.concatenate([rows + first for first, rows in zip(firsts, found, strict=True)])

    def _bounds(self) -> list[tuple[int, int]]:
        return list(zip(self.ends.tolist(), self.sizes, strict=True))

    def _requests(
        self, method: str, own: Sequence[tuple[Any, ...] | None] | None, keep: int | None
    ) -> list[Request | None]:
        """Return what is asked of every place, and what each may let go of since it was last asked."""
        given: Sequence[tuple[Any, ...] | None] = [()] * len(self.sizes) if own is None else own
        return [
            Request(self.number, method, arguments, keep, self._dropped.take(place))
            if size and arguments is not None
            else None
            for place, (size, arguments) in enumerate(zip(self.sizes, given, strict=True))
        ]


_numbers = itertools.count(1)
