"""The kernels of the device loop in CUDA C, compiled by NVRTC when a process first uses them.

Every sum has a fixed order: a warp adds a row's terms lane by lane and then across lanes, a block adds the rows of a
segment one after the other. No float is added atomically.
"""

from typing import Any

from evenkeel.infra.dtypes import Float32Array, Float64Array, Int32Array, Int64Array
from evenkeel.tasks.kmeans.device.arrays import CANDIDATES

THREADS = 256
WARP = 32
MOST_BLOCKS = 2**31 - 1
SOURCE = r"""
#define WARP 32
#define ALL 0xffffffffu
#define ENDLESS __int_as_float(0x7f800000)

// Put (score, id) into a list of q, least first; ties go to the lowest id.
template <int q> __device__ __forceinline__ void insert(float score, int id, float* scores, int* ids) {
  if (id < 0 || !(score < scores[q - 1] || (score == scores[q - 1] && (ids[q - 1] < 0 || id < ids[q - 1])))) return;
  scores[q - 1] = score;
  ids[q - 1] = id;
#pragma unroll
  for (int t = q - 1; t > 0; t--) {
    if (scores[t] < scores[t - 1] || (scores[t] == scores[t - 1] && (ids[t - 1] < 0 || ids[t] < ids[t - 1]))) {
      float score_above = scores[t - 1];
      int id_above = ids[t - 1];
      scores[t - 1] = scores[t];
      ids[t - 1] = ids[t];
      scores[t] = score_above;
      ids[t] = id_above;
    }
  }
}

// |x - p|^2 by the lanes of a warp; every lane gets the sum.
__device__ __forceinline__ float gap_of(const float* x, const float* p, int d, int lane) {
  float total = 0.0f;
  for (int j = lane; j < d; j += WARP) {
    float gap = x[j] - p[j];
    total = fmaf(gap, gap, total);
  }
#pragma unroll
  for (int step = WARP / 2; step; step >>= 1) total += __shfl_xor_sync(ALL, total, step);
  return total;
}

extern "C" __global__ void candidates(
    const float* products, const float* half, long long rows, int k, int* ids, float* scores) {
  const int q = 8;
  long long row = ((long long)blockIdx.x * blockDim.x + threadIdx.x) / WARP;
  int lane = threadIdx.x % WARP;
  if (row >= rows) return;
  const float* mine = products + row * k;
  float best[q];
  int which[q];
#pragma unroll
  for (int t = 0; t < q; t++) {
    best[t] = ENDLESS;
    which[t] = -1;
  }
  for (int j = lane; j < k; j += WARP) {
    float score = half[j] - mine[j];
    if (score <= best[q - 1]) insert<q>(score, j, best, which);
  }
#pragma unroll 1
  for (int step = WARP / 2; step; step >>= 1) {
    float other[q];
    int name[q];
#pragma unroll
    for (int t = 0; t < q; t++) {
      other[t] = __shfl_down_sync(ALL, best[t], step);
      name[t] = __shfl_down_sync(ALL, which[t], step);
    }
    if (lane < step) {
#pragma unroll
      for (int t = 0; t < q; t++) insert<q>(other[t], name[t], best, which);
    }
  }
  if (!lane) {
    for (int t = 0; t < q; t++) {
      ids[row * q + t] = which[t];
      scores[row * q + t] = best[t];
    }
  }
}

extern "C" __global__ void settle(
    const float* x, const float* points, const int* among, int q, long long rows, int d, int* ids, float* gaps) {
  long long row = ((long long)blockIdx.x * blockDim.x + threadIdx.x) / WARP;
  int lane = threadIdx.x % WARP;
  if (row >= rows) return;
  float best[3] = {ENDLESS, ENDLESS, ENDLESS};
  int which[3] = {-1, -1, -1};
  for (int t = 0; t < q; t++) {
    int id = among ? among[row * q + t] : t;
    if (id >= 0) insert<3>(gap_of(x + row * d, points + (long long)id * d, d, lane), id, best, which);
  }
  if (!lane) {
    for (int t = 0; t < 3; t++) {
      ids[row * 3 + t] = which[t];
      gaps[row * 3 + t] = best[t];
    }
  }
}

extern "C" __global__ void gaps_to(
    const float* x, const float* points, const int* to, long long rows, int d, float* out) {
  long long row = ((long long)blockIdx.x * blockDim.x + threadIdx.x) / WARP;
  int lane = threadIdx.x % WARP;
  if (row >= rows) return;
  float gap = to[row] < 0 ? ENDLESS : gap_of(x + row * d, points + (long long)to[row] * d, d, lane);
  if (!lane) out[row] = gap;
}

extern "C" __global__ void add_segments(
    const float* x, const float* weights, const long long* order, const long long* starts, int d, double* sums) {
  long long segment = blockIdx.x, first = starts[segment], last = starts[segment + 1];
  if (first == last) return;
  for (int j = threadIdx.x; j < d; j += blockDim.x) {
    double total = 0.0;
    for (long long at = first; at < last; at++) {
      long long row = order[at];
      total += (weights ? (double)weights[row] : 1.0) * x[row * d + j];
    }
    sums[segment * d + j] += total;
  }
}
"""


class CudaKernels:
    """What `arrays.Kernels` asks for, on arrays of CuPy; rows of x lie one behind the other."""

    def __init__(self, cupy: Any) -> None:
        module = cupy.RawModule(code=SOURCE, options=("--std=c++17",))
        names = ("candidates", "settle", "gaps_to", "add_segments")
        self._candidates, self._settle, self._gaps, self._add = (module.get_function(name) for name in names)
        self._int32, self._int64 = cupy.int32, cupy.int64
        self._null = cupy.int64(0)

    def candidates(self, products: Float32Array, half: Float32Array, ids: Int32Array, scores: Float32Array) -> None:
        """Find the eight least half - products of every row: a warp a row."""
        assert ids.shape[1] == CANDIDATES
        rows, k = products.shape
        self._candidates(*self._warps(rows), (products, half, self._int64(rows), self._int32(k), ids, scores))

    def settle(
        self, x: Float32Array, points: Float32Array, among: Int32Array, ids: Int32Array, gaps: Float32Array
    ) -> None:
        """Find the three nearest of some points to every row: a warp a row."""
        rows, d = x.shape
        arguments = (x, points, among, self._int32(among.shape[1]), self._int64(rows), self._int32(d), ids, gaps)
        self._settle(*self._warps(rows), arguments)

    def compare_all(self, x: Float32Array, points: Float32Array, ids: Int32Array, gaps: Float32Array) -> None:
        """Find the three nearest of all points to every row: a warp a row."""
        rows, d = x.shape
        arguments = (x, points, self._null, self._int32(len(points)), self._int64(rows), self._int32(d), ids, gaps)
        self._settle(*self._warps(rows), arguments)

    def gaps(self, x: Float32Array, points: Float32Array, to: Int32Array, out: Float32Array) -> None:
        """Write the squared distance of every row to its point: a warp a row."""
        rows, d = x.shape
        self._gaps(*self._warps(rows), (x, points, to, self._int64(rows), self._int32(d), out))

    def add_segments(
        self, x: Float32Array, weights: Float32Array | None, order: Int64Array, starts: Int64Array, sums: Float64Array
    ) -> None:
        """Add the rows of every segment: a block a segment, a thread a column."""
        d = x.shape[1]
        threads = min(THREADS, -(-d // WARP) * WARP)
        given = self._null if weights is None else weights
        self._add((len(starts) - 1,), (threads,), (x, given, order, starts, self._int32(d), sums))

    def _warps(self, rows: int) -> tuple[tuple[int], tuple[int]]:
        """Return the grid and the block in which every row has a warp."""
        blocks = -(-rows * WARP // THREADS)
        assert 0 < blocks <= MOST_BLOCKS
        return (blocks,), (THREADS,)
