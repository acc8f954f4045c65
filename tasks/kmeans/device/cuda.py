"""The kernels of the device loop on CuPy's arrays: `cuda_source.py`, compiled by NVRTC when first used."""

from typing import Any

from evenkeel.infra.dtypes import Float32Array, Float64Array, Int32Array, Int64Array
from evenkeel.tasks.kmeans.device.arrays import Seen
from evenkeel.tasks.kmeans.device.cuda_source import SOURCE

THREADS = 256
WARP = 32
MOST_BLOCKS = 2**31 - 1
SEEDING = 512
NAMES = (
    "rounded",
    "candidates",
    "settle",
    "gaps_to",
    "draw_seeds",
    "group_peaks",
    "draw_at",
    "lower_to",
    "losses",
    "add_segments",
)


class CudaKernels:
    """What `arrays.Kernels` asks for, on arrays of CuPy; rows of x lie one behind the other."""

    def __init__(self, cupy: Any) -> None:
        module = cupy.RawModule(code=SOURCE, options=("--std=c++17",))
        self._kernel = {name: module.get_function(name) for name in NAMES}
        self._int32, self._int64, self._float64 = cupy.int32, cupy.int64, cupy.float64
        self._null = cupy.int64(0)

    def rounded(self, x: Float32Array, out: Float32Array) -> None:
        """Round numbers to TF32: a thread a number."""
        self._kernel["rounded"](*self._threads(x.size), (x, self._int64(x.size), out))

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
        """Find what half - products leaves possible for every row: a warp a row."""
        rows, k = products.shape
        sizes = (self._int64(rows), self._int32(k), self._int32(ids.shape[1]))
        arguments = (products, half, self._or_null(which), slack, *sizes, ids, scores, counts)
        self._kernel["candidates"](*self._warps(rows), arguments)

    def settle(
        self,
        x: Float32Array,
        points: Float32Array,
        among: Int32Array,
        ids: Int32Array,
        gaps: Float32Array,
        seen: Seen | None,
    ) -> None:
        """Find the three nearest of some points to every row: a warp a row."""
        self._settle(x, points, among, among.shape[1], ids, gaps, seen)

    def compare_all(self, x: Float32Array, points: Float32Array, ids: Int32Array, gaps: Float32Array) -> None:
        """Find the three nearest of all points to every row: a warp a row."""
        self._settle(x, points, None, len(points), ids, gaps, None)

    def _settle(
        self,
        x: Float32Array,
        points: Float32Array,
        among: Int32Array | None,
        q: int,
        ids: Int32Array,
        gaps: Float32Array,
        seen: Seen | None,
    ) -> None:
        rows, d = x.shape
        sizes = (self._int32(q), self._int64(rows), self._int32(d))
        arguments = (x, points, self._or_null(among), *sizes, ids, gaps, *(seen or (self._null,) * 3))
        self._kernel["settle"](*self._warps(rows), arguments)

    def gaps(self, x: Float32Array, points: Float32Array, to: Int32Array, out: Float32Array) -> None:
        """Write the squared distance of every row to its point: a warp a row."""
        rows, d = x.shape
        self._kernel["gaps_to"](*self._warps(rows), (x, points, to, self._int64(rows), self._int32(d), out))

    def draw_seeds(
        self,
        squared: Float32Array,
        weights: Float32Array | None,
        order: Int64Array,
        starts: Int64Array,
        uniform: Float64Array,
        chosen: Int64Array,
    ) -> None:
        """Draw a row of every group: a block a group."""
        arguments = (squared, self._or_null(weights), order, starts, uniform, chosen)
        self._kernel["draw_seeds"]((len(chosen),), (SEEDING,), arguments)

    def group_peaks(self, squared: Float32Array, order: Int64Array, starts: Int64Array, peaks: Float32Array) -> None:
        """Find the largest number of every group: a block a group."""
        self._kernel["group_peaks"]((len(peaks),), (SEEDING,), (squared, order, starts, peaks))

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
        """Add the numbers of every group and find the rows that aims fall on: a block a group."""
        arguments = (squared, order, starts, scales, aims, totals, chosen)
        self._kernel["draw_at"]((len(chosen),), (SEEDING,), arguments)

    def lower_to(
        self, x: Float32Array, points: Float32Array, chosen: Int64Array, groups: Int32Array, squared: Float32Array
    ) -> None:
        """Lower squared distances to those to the point of the row's group: a warp a row."""
        rows, d = x.shape
        sizes = (self._int32(len(chosen)), self._int64(rows), self._int32(d))
        self._kernel["lower_to"](*self._warps(rows), (x, points, chosen, groups, *sizes, squared))

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
        """Add what every row loses if its centroid goes: a thread a row."""
        rows = len(labels)
        numbers = (self._float64(scale), self._int64(rows))
        arguments = (ids, gaps, self._or_null(weights), labels, order, place, *numbers, totals, endless)
        self._kernel["losses"](*self._threads(rows), arguments)

    def add_segments(
        self, x: Float32Array, weights: Float32Array | None, order: Int64Array, starts: Int64Array, sums: Float64Array
    ) -> None:
        """Add the rows of every segment: a block a segment, a thread a column."""
        d = x.shape[1]
        threads = min(THREADS, -(-d // WARP) * WARP)
        arguments = (x, self._or_null(weights), order, starts, self._int32(d), sums)
        self._kernel["add_segments"]((len(starts) - 1,), (threads,), arguments)

    def _or_null(self, array: Any) -> Any:
        return self._null if array is None else array

    def _warps(self, rows: int) -> tuple[tuple[int], tuple[int]]:
        """Return the grid and the block in which every row has a warp."""
        return self._threads(rows * WARP)

    def _threads(self, count: int) -> tuple[tuple[int], tuple[int]]:
        """Return the grid and the block in which every number has a thread."""
        blocks = -(-count // THREADS)
        assert 0 < blocks <= MOST_BLOCKS
        return (blocks,), (THREADS,)
