"""The kernels of the device loop in CUDA C.

Every sum has a fixed order: a warp adds a row's terms lane by lane and then across lanes, a block adds the rows of a
segment one after the other. What is added atomically is whole numbers, whose sum is the same in any order.
"""

SOURCE = r"""
#define WARP 32
#define SEEDING 512
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

extern "C" __global__ void rounded(const unsigned* x, long long count, unsigned* out) {
  long long at = (long long)blockIdx.x * blockDim.x + threadIdx.x;
  if (at < count) out[at] = (x[at] + 0xfffu + ((x[at] >> 13) & 1u)) & 0xffffe000u;
}

// What the three least of a warp cannot exceed: four groups of lanes each hold one that is no greater.
__device__ __forceinline__ float bound_of(float least) {
  float bound = least;
#pragma unroll
  for (int step = 4; step < WARP; step <<= 1) bound = fminf(bound, __shfl_xor_sync(ALL, bound, step));
  bound = fmaxf(bound, __shfl_xor_sync(ALL, bound, 1));
  return fmaxf(bound, __shfl_xor_sync(ALL, bound, 2));
}

// half - products of the columns first + lane, first + lane + WARP, ...; infinity beyond the last.
template <int often> __device__ __forceinline__ void scores_of(
    const float* half, const float* products, int first, int k, int lane, float* scores) {
#pragma unroll
  for (int t = 0; t < often; t++) {
    int j = first + t * WARP + lane;
    scores[t] = j < k ? half[j] - products[j] : ENDLESS;
  }
}

extern "C" __global__ void candidates(
    const float* products, const float* halves, const int* which, const float* slack, long long rows, int k, int most,
    int* ids, float* scores, int* counts) {
  const int q = 3, often = 8;
  long long row = ((long long)blockIdx.x * blockDim.x + threadIdx.x) / WARP;
  int lane = threadIdx.x % WARP;
  if (row >= rows) return;
  const float* mine = products + row * k;
  const float* half = halves + (which ? (long long)which[row] * k : 0);
  float best[q] = {ENDLESS, ENDLESS, ENDLESS};
  int chosen[q] = {-1, -1, -1};
  float bound = ENDLESS;
  for (int first = 0; first < k; first += often * WARP) {
    float score[often];
    scores_of<often>(half, mine, first, k, lane, score);
#pragma unroll
    for (int t = 0; t < often; t++) {
      int j = first + t * WARP + lane;
      if (j < k && score[t] <= bound) insert<q>(score[t], j, best, chosen);
    }
    bound = fminf(bound, bound_of(best[0]));
  }
#pragma unroll
  for (int step = WARP / 2; step; step >>= 1) {
    float other[q];
    int name[q];
#pragma unroll
    for (int t = 0; t < q; t++) {
      other[t] = __shfl_down_sync(ALL, best[t], step);
      name[t] = __shfl_down_sync(ALL, chosen[t], step);
    }
    if (lane < step) {
#pragma unroll
      for (int t = 0; t < q; t++) insert<q>(other[t], name[t], best, chosen);
    }
  }
  bound = __shfl_sync(ALL, best[q - 1], 0) + 2.0f * slack[row];
  int count = 0;
  for (int first = 0; first < k; first += often * WARP) {
    float score[often];
    scores_of<often>(half, mine, first, k, lane, score);
#pragma unroll
    for (int t = 0; t < often; t++) {
      int j = first + t * WARP + lane;
      bool near = j < k && score[t] <= bound;
      unsigned all = __ballot_sync(ALL, near);
      int place = count + __popc(all & ((1u << lane) - 1u));
      if (near && place < most) {
        ids[row * most + place] = j;
        scores[row * most + place] = score[t];
      }
      count += __popc(all);
    }
  }
  if (!lane) counts[row] = count;
}

extern "C" __global__ void settle(
    const float* x, const float* points, const int* among, int q, long long rows, int d, int* ids, float* gaps,
    const float* scores, const float* norms, float* worst) {
  long long row = ((long long)blockIdx.x * blockDim.x + threadIdx.x) / WARP;
  int lane = threadIdx.x % WARP;
  if (row >= rows) return;
  float best[3] = {ENDLESS, ENDLESS, ENDLESS};
  int which[3] = {-1, -1, -1};
  float off = 0.0f;
  for (int t = 0; t < q; t++) {
    int id = among ? among[row * q + t] : t;
    float gap = id < 0 ? ENDLESS : gap_of(x + row * d, points + (long long)id * d, d, lane);
    insert<3>(gap, id, best, which);
    if (scores && id >= 0) off = fmaxf(off, fabsf(scores[row * q + t] - (gap - norms[row]) * 0.5f));
  }
  if (!lane) {
    if (scores) worst[row] = off;
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

// The sum of the numbers of the threads before this one, of a block of SEEDING threads; total: that of all.
__device__ __forceinline__ long long before_me(long long number, long long* shared, long long* total) {
  int lane = threadIdx.x % WARP, warp = threadIdx.x / WARP;
  long long sum = number;
#pragma unroll
  for (int step = 1; step < WARP; step <<= 1) {
    long long other = __shfl_up_sync(ALL, sum, step);
    if (lane >= step) sum += other;
  }
  if (lane == WARP - 1) shared[warp] = sum;
  __syncthreads();
  long long before = 0, all = 0;
  for (int t = 0; t < SEEDING / WARP; t++) {
    if (t < warp) before += shared[t];
    all += shared[t];
  }
  *total = all;
  return before + sum - number;
}

// What a row weighs where a seed of its group is drawn: infinity = the group has none yet.
__device__ __forceinline__ float error_of(const float* squared, const float* weights, long long row) {
  float weight = weights ? weights[row] : 1.0f;
  return squared[row] == ENDLESS ? weight : squared[row] * weight;
}

// The largest error of a group, to every thread of its block.
__device__ __forceinline__ float peak_of(
    const float* squared, const float* weights, const long long* order, long long first, long long last, float* peaks) {
  float peak = 0.0f;
  for (long long at = first + threadIdx.x; at < last; at += SEEDING)
    peak = fmaxf(peak, error_of(squared, weights, order[at]));
#pragma unroll
  for (int step = WARP / 2; step; step >>= 1) peak = fmaxf(peak, __shfl_xor_sync(ALL, peak, step));
  if (threadIdx.x % WARP == 0) peaks[threadIdx.x / WARP] = peak;
  __syncthreads();
  for (int t = 0; t < SEEDING / WARP; t++) peak = fmaxf(peak, peaks[t]);
  return peak;
}

// The rows of a group that this thread adds, and the whole number that a row's error makes.
struct Mine {
  const float* squared;
  const float* weights;
  const long long* order;
  long long low, high;
  double scale;
  __device__ long long number(long long at) const {
    return (long long)ceil((double)error_of(squared, weights, order[at]) * scale);
  }
  __device__ long long sum() const {
    long long found = 0;
    for (long long at = low; at < high; at++) found += number(at);
    return found;
  }
  // Writes the row that the aim falls on where it is one of these, before which all have `prefix`.
  __device__ void draw(long long aim, long long prefix, long long own, long long* chosen) const {
    if (aim < prefix || aim >= prefix + own) return;
    for (long long at = low; at < high; at++) {
      prefix += number(at);
      if (prefix > aim) {
        *chosen = order[at];
        return;
      }
    }
  }
};

__device__ __forceinline__ Mine mine_of(
    const float* squared, const float* weights, const long long* order, long long first, long long last, double scale) {
  long long each = (last - first + SEEDING - 1) / SEEDING, low = first + threadIdx.x * each;
  return Mine{squared, weights, order, low, low + each < last ? low + each : last, scale};
}

extern "C" __global__ void draw_seeds(
    const float* squared, const float* weights, const long long* order, const long long* starts,
    const double* uniform, long long* chosen) {
  __shared__ long long sums[SEEDING / WARP];
  __shared__ float peaks[SEEDING / WARP];
  long long first = starts[blockIdx.x], last = starts[blockIdx.x + 1], size = last - first;
  if (!threadIdx.x) chosen[blockIdx.x] = -1;
  float peak = peak_of(squared, weights, order, first, last, peaks);
  if (!(peak > 0.0f)) return;
  int exponent, bits = 62;
  frexp((double)peak, &exponent);
  while (bits > 0 && (1ll << (62 - bits)) < size + 1) bits--;
  Mine mine = mine_of(squared, weights, order, first, last, ldexp(1.0, bits - exponent));
  long long sum = mine.sum(), total;
  long long prefix = before_me(sum, sums, &total);
  long long aim = (long long)(uniform[blockIdx.x] * (double)total);
  if (aim > total - 1) aim = total - 1;
  mine.draw(aim, prefix, sum, chosen + blockIdx.x);
}

extern "C" __global__ void group_peaks(
    const float* squared, const long long* order, const long long* starts, float* found) {
  __shared__ float peaks[SEEDING / WARP];
  float peak = peak_of(squared, nullptr, order, starts[blockIdx.x], starts[blockIdx.x + 1], peaks);
  if (!threadIdx.x) found[blockIdx.x] = peak;
}

extern "C" __global__ void draw_at(
    const float* squared, const long long* order, const long long* starts, const double* scales, const long long* aims,
    long long* totals, long long* chosen) {
  __shared__ long long sums[SEEDING / WARP];
  long long first = starts[blockIdx.x], last = starts[blockIdx.x + 1];
  if (!threadIdx.x) chosen[blockIdx.x] = -1;
  Mine mine = mine_of(squared, nullptr, order, first, last, scales[blockIdx.x]);
  long long sum = mine.sum(), total;
  long long prefix = before_me(sum, sums, &total);
  if (!threadIdx.x) totals[blockIdx.x] = total;
  if (aims[blockIdx.x] >= 0) mine.draw(aims[blockIdx.x], prefix, sum, chosen + blockIdx.x);
}

extern "C" __global__ void lower_to(
    const float* x, const float* points, const long long* chosen, const int* groups, int active, long long rows, int d,
    float* squared) {
  long long row = ((long long)blockIdx.x * blockDim.x + threadIdx.x) / WARP;
  int lane = threadIdx.x % WARP;
  if (row >= rows) return;
  int group = groups[row];
  if (group >= active || chosen[group] < 0) return;
  float gap = gap_of(x + row * d, points + (long long)group * d, d, lane);
  if (!lane) squared[row] = fminf(squared[row], gap);
}

extern "C" __global__ void losses(
    const int* ids, const float* gaps, const float* weights, const int* labels, const int* order, const int* place,
    double scale, long long rows, unsigned long long* totals, int* endless) {
  long long row = (long long)blockIdx.x * blockDim.x + threadIdx.x;
  if (row >= rows) return;
  int label = labels[row], own = order[label], second = ids[row * 3 + 1], third = ids[row * 3 + 2];
  float near = second >= 0 && place[second] >= own ? gaps[row * 3 + 1]
               : third >= 0 && place[third] >= own ? gaps[row * 3 + 2] : ENDLESS;
  if (near == ENDLESS) {
    atomicAdd(endless + label, 1);
    return;
  }
  float loss = fmaxf(near - gaps[row * 3], 0.0f);
  if (weights) loss *= weights[row];
  atomicAdd(totals + label, (unsigned long long)ceil((double)loss * scale));
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
