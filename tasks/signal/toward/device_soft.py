"""The clusters nearest to rows on a device: what `soft.nearest_around` finds, with sums in another order."""

from collections import deque
from collections.abc import Iterable, Iterator

import numpy as np

from evenkeel.infra.dtypes import Float32Array, Int32Array
from evenkeel.tasks.embed.device_texts import kept
from evenkeel.tasks.kmeans.device import opening
from evenkeel.tasks.kmeans.device.batches import REMEDY, enough_memory
from evenkeel.tasks.signal.toward.soft import NEAREST, Near

THREADS, WARP = 128, 32
SOURCE = (
    f"#define WARP {WARP}\n#define NEAREST {NEAREST}\n"
    + r"""
// A warp a row, whose lanes share the dimensions; each of them keeps the same list, the first of equals first.
extern "C" __global__ void nearest_around(
    const float* x, const int* own, const float* centroids, const int* around, long long rows, int d, int q, int most,
    int* cluster, float* apart) {
  long long row = ((long long)blockIdx.x * blockDim.x + threadIdx.x) / WARP;
  int lane = threadIdx.x % WARP;
  if (row >= rows) return;
  float near[NEAREST];
  int ids[NEAREST];
#pragma unroll
  for (int place = 0; place < NEAREST; place++) {
    near[place] = __int_as_float(0x7f800000);
    ids[place] = own[row];
  }
  for (int t = 0; t < q; t++) {
    int one = around[(long long)own[row] * q + t];
    float total = 0.0f;
    for (int j = lane; j < d; j += WARP) {
      float gap = x[row * d + j] - centroids[(long long)one * d + j];
      total = fmaf(gap, gap, total);
    }
#pragma unroll
    for (int step = WARP / 2; step; step >>= 1) total += __shfl_xor_sync(0xffffffffu, total, step);
    if (!(total < near[NEAREST - 1])) continue;
    near[NEAREST - 1] = total;
    ids[NEAREST - 1] = one;
#pragma unroll
    for (int place = NEAREST - 1; place > 0; place--)
      if (near[place] < near[place - 1]) {
        float nearer = near[place];
        near[place] = near[place - 1];
        near[place - 1] = nearer;
        int id = ids[place];
        ids[place] = ids[place - 1];
        ids[place - 1] = id;
      }
  }
#pragma unroll
  for (int place = 0; place < NEAREST; place++)
    if (place < most && place == lane) {
      cluster[row * most + place] = ids[place];
      apart[row * most + place] = near[place];
    }
}
"""
)


def near_on_device(
    parts: Iterable[tuple[Float32Array, Int32Array]], centroids: Float32Array, around: Int32Array
) -> Iterator[Near]:
    """Yield for each part, of rows and their own clusters, what `soft.nearest_around` returns with these arguments.

    A part's rows, (n, d), are copied while the last part is worked on; centroids are copied once.
    """
    arrays, clusters = opening.open_arrays(), deque[Int32Array]()
    xp, most = arrays.xp, min(NEAREST, around.shape[1])
    module = kept(arrays, SOURCE, lambda: xp.RawModule(code=SOURCE, options=("--std=c++17",)))

    def rows() -> Iterator[Float32Array]:
        for x, own in parts:
            clusters.append(own)
            yield x

    with enough_memory(arrays, "to share rows out over clusters", REMEDY):
        points, lists = arrays.put(centroids), arrays.put(around)
        for x in arrays.stream(rows()):
            own = arrays.put(clusters.popleft())
            cluster, apart = (xp.empty((len(x), most), kind) for kind in (np.int32, np.float32))
            sizes = (np.int64(len(x)), np.int32(x.shape[1]), np.int32(around.shape[1]), np.int32(most))
            grid = -(-len(x) * WARP // THREADS)
            module.get_function("nearest_around")((grid,), (THREADS,), (x, own, points, lists, *sizes, cluster, apart))
            yield Near(arrays.get(cluster), arrays.get(apart))
