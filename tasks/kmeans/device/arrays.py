"""What the device loop is written against: an array namespace, a few kernels, and the way to the device and back.

On a device this is CuPy and the kernels of `cuda.py`; in the tests NumPy stands in, with kernels written in NumPy,
so that every line of the loop runs on every machine.
"""

from collections.abc import Iterable, Iterator
from typing import Any, Protocol

from evenkeel.infra.dtypes import Array, Float32Array, Float64Array, Int32Array, Int64Array

CANDIDATES = 8
NEAREST = 3


class Kernels(Protocol):
    """What no array namespace has, or has too slowly. Arrays are on the device; `out` arrays are filled."""

    def candidates(self, products: Float32Array, half: Float32Array, ids: Int32Array, scores: Float32Array) -> None:
        """Find the eight least half - products of every row, least first; ties go to the lowest column.

        products: (m, k). half: (k,). ids, scores: (m, 8) out; -1 and infinity where there are fewer columns.
        """

    def settle(
        self, x: Float32Array, points: Float32Array, among: Int32Array, ids: Int32Array, gaps: Float32Array
    ) -> None:
        """Find the three points, of some, that are nearest to every row: by |x - p|^2 in float32, not by products.

        x: (m, d). points: (k, d). among: (m, q), -1 = none. ids: (m, 3) int32 out, nearest first, ties to the lowest.
        gaps: (m, 3) float32 out.
        """

    def compare_all(self, x: Float32Array, points: Float32Array, ids: Int32Array, gaps: Float32Array) -> None:
        """Do as `settle` does, among all points."""

    def gaps(self, x: Float32Array, points: Float32Array, to: Int32Array, out: Float32Array) -> None:
        """Write |x - p|^2 for the one point that `to`, (m,), names for every row, infinity for -1, to out (m,)."""

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
