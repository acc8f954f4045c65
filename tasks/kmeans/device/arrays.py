"""What the device loop is written against: an array namespace, a few kernels, and the way to the device and back.

On a device this is CuPy and the kernels of `cuda.py`; in the tests NumPy stands in, with kernels written in NumPy,
so that every line of the loop runs on every machine.
"""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple, Protocol

from evenkeel.infra.dtypes import Array, Float32Array, Float64Array, Int32Array, Int64Array

CANDIDATES = 32
NEAREST = 3


class Seen(NamedTuple):
    """How far scores by products are off, as far as is seen while some points are settled.

    scores: (m, q) |p|^2 / 2 - x p by products. norms: (m,) |x|^2. worst: (m,) out, how far the worst score is off.
    """

    scores: Float32Array
    norms: Float32Array
    worst: Float32Array


class Kernels(Protocol):
    """What no array namespace has, or has too slowly. Arrays are on the device; `out` arrays are filled."""

    def rounded(self, x: Float32Array, out: Float32Array) -> None:
        """Write numbers, rounded to the 11 bits of TF32 that are nearest, ties to even, to out of the same shape."""

    def candidates(
        self,
        products: Float32Array,
        half: Float32Array,
        which: Int32Array | None,
        slack: Float32Array,
        ids: Int32Array,
        scores: Float32Array,
        counts: Int32Array,
    ) -> None:
        """Find the columns that can be among the three least of a row: half - products up to the third + 2 slack.

        products: (m, k). half: (g, k). which: (m,) the line of half for every row, None = the first. slack: (m,). ids,
        scores: (m, q) out, the columns in ascending order and half - products there; what lies beyond a row's count
        stays as it is. counts: (m,) int32 out, how many there are; the first q of them are kept.
        """

    def settle(
        self,
        x: Float32Array,
        points: Float32Array,
        among: Int32Array,
        ids: Int32Array,
        gaps: Float32Array,
        seen: Seen | None,
    ) -> None:
        """Find the three points, of some, that are nearest to every row: by |x - p|^2 in float32, not by products.

        x: (m, d). points: (k, d). among: (m, q), -1 = none. ids: (m, 3) int32 out, nearest first, ties to the lowest.
        gaps: (m, 3) float32 out. seen: filled where given.
        """

    def compare_all(self, x: Float32Array, points: Float32Array, ids: Int32Array, gaps: Float32Array) -> None:
        """Do as `settle` does, among all points."""

    def gaps(self, x: Float32Array, points: Float32Array, to: Int32Array, out: Float32Array) -> None:
        """Write |x - p|^2 for the one point that `to`, (m,), names for every row, infinity for -1, to out (m,)."""

    def draw_seeds(
        self,
        squared: Float32Array,
        weights: Float32Array | None,
        order: Int64Array,
        starts: Int64Array,
        uniform: Float64Array,
        chosen: Int64Array,
    ) -> None:
        """Draw a row of each of the first m groups in proportion to weight x squared distance, to chosen (m,) int64.

        squared: (n,), infinity = the group has no seed yet, and the weight alone counts. order: (n,) rows by group.
        starts: (> m,). uniform: (m,) in [0, 1). Numbers are drawn as whole ones on a scale of the group, as
        `totals.whole` makes them. -1 where every row of the group weighs nothing or lies on a seed.
        """

    def group_peaks(self, squared: Float32Array, order: Int64Array, starts: Int64Array, peaks: Float32Array) -> None:
        """Write the largest number of each of the first m groups, 0 without rows, to peaks (m,); infinity counts as 1.

        squared, order, starts: as `draw_seeds` takes them.
        """

    def draw_at(
        self,
        squared: Float32Array,
        order: Int64Array,
        starts: Int64Array,
        scales: Float64Array,
        aims: Int64Array,
        totals: Int64Array,
        chosen: Int64Array,
    ) -> None:
        """Do as `draw_seeds` does for what is a part of the rows of each group: scale and aim are given.

        scales: (m,) how many whole ones make 1, 0 = nothing is drawn. aims: (m,) which of the whole ones, in the order
        of the rows; -1 = none. totals: (m,) int64 out, how many there are. chosen: (m,) int64 out, -1 = none.
        """

    def lower_to(
        self, x: Float32Array, points: Float32Array, chosen: Int64Array, groups: Int32Array, squared: Float32Array
    ) -> None:
        """Lower squared, (m,) in place, to |x - p|^2 for the point of the row's group, where the group has one.

        points: (g, d). chosen: (g,) -1 = the group has none. groups: (m,), from g on = the row's group takes no part.
        """

    def losses(
        self,
        ids: Int32Array,
        gaps: Float32Array,
        weights: Float32Array | None,
        labels: Int32Array,
        order: Int32Array,
        place: Int32Array,
        scale: float,
        totals: Int64Array,
        endless: Int32Array,
    ) -> None:
        """Add what every row loses if the centroid of its label goes, to (k,) totals: whole numbers, scale to 1.

        A row then belongs to the second or third of ids, (m, 3), that is there: `place`, (k,), tells which centroids go
        when, and those that go before its own, as `order`, (k,), has it, are gone. It loses weight x (gap - least gap),
        0 at least, rounded up. endless: (k,) counts the rows that have none left.
        """

    def add_segments(
        self, x: Float32Array, weights: Float32Array | None, order: Int64Array, starts: Int64Array, sums: Float64Array
    ) -> None:
        """Add the rows of each segment, in their order, to sums, (k, d) float64.

        order: (m,) rows by segment. starts: (k + 1,). weights: (m,), None = 1.
        """


class Arrays(Protocol):
    """An array namespace and what belongs to it.

    xp: the namespace. kernels: for its arrays. memory_errors: what is raised where memory does not suffice.
    """

    @property
    def xp(self) -> Any:
        """Return the namespace: numpy's functions, on arrays of the device."""

    @property
    def kernels(self) -> Kernels:
        """Return the kernels."""

    @property
    def memory_errors(self) -> tuple[type[BaseException], ...]:
        """Return the errors that say that memory does not suffice."""

    def put(self, array: Array) -> Array:
        """Copy an array to the device."""

    def get(self, array: Array) -> Array:
        """Copy an array to this machine."""

    def stream(self, parts: Iterable[Array]) -> Iterator[Array]:
        """Copy arrays to the device one after the other, the next one while the last is worked on."""

    def matmul(self, a: Float32Array, b: Float32Array, out: Float32Array, tf32: bool) -> None:
        """Write a @ b to out. tf32: with the 10 bits of mantissa that tensor cores take."""

    def free_bytes(self) -> int:
        """Return how many bytes can be allocated."""

    def release(self) -> None:
        """Give memory that is kept for later back."""
