"""The n-grams of texts on a device: counts of buckets and sums of log ratios, those of `ngrams.py` bit for bit.

A thread walks through a text and adds the ratios of its words and pairs in their order, as the CPU does. Counts are
whole numbers, so it is no matter in which order threads add to them.
"""

import numpy as np
import pyarrow as pa

from evenkeel.infra.dtypes import Array, Float64Array, Int64Array
from evenkeel.tasks.embed import device_words
from evenkeel.tasks.embed.device_texts import Part, for_each_normal_part

BYTES_EACH = 2  # of the device's memory for a byte of text
SOURCE = (
    device_words.CHARACTERS
    + r"""
// Call add(bucket) for every word of a text, and for every pair of words after its second.
template <class Add> __device__ void each_ngram(
    const byte* data, long long at, long long end, u64 buckets, Add add) {
  u64 state = SEED, previous = 0;
  bool inside = false;
  for (int width; at <= end; at += width) {
    width = 1;
    Kind kind = at == end ? SEPARATOR : kind_at(data, at, end, &width);
    if (kind != SEPARATOR) {
      for (long long place = at; place < at + width; place++)
        state = (state ^ (u64)(between(data[place], 0x41, 0x5a) ? data[place] | 0x20 : data[place])) * 0x100000001b3ull;
      inside = true;
    }
    if (inside && kind != LETTER) {
      u64 word = mix(state);
      add(word % buckets);
      if (previous) add(mix(word + 3ull * previous) % buckets);
      previous = word;
      state = SEED;
      inside = false;
    }
  }
}

extern "C" __global__ void count_ngrams(
    const byte* data, const long long* offsets, const int* rows, long long buckets, u64* counts, long long count) {
  long long one = (long long)blockIdx.x * blockDim.x + threadIdx.x;
  if (one >= count) return;
  each_ngram(data, offsets[rows[one]], offsets[rows[one] + 1], (u64)buckets, [&](u64 bucket) {
    atomicAdd(counts + bucket, 1ull);
  });
}

// sums: of the ratios of a text. counts: how many they are.
extern "C" __global__ void sum_ratios(
    const byte* data, const long long* offsets, const int* rows, long long buckets, const double* ratios, double* sums,
    int* counts, long long count) {
  long long one = (long long)blockIdx.x * blockDim.x + threadIdx.x;
  if (one >= count) return;
  double total = 0.0;
  int found = 0;
  each_ngram(data, offsets[rows[one]], offsets[rows[one] + 1], (u64)buckets, [&](u64 bucket) {
    total += ratios[bucket];
    found++;
  });
  sums[rows[one]] = total;
  counts[rows[one]] = found;
}
"""
)


def count_on_device(texts: pa.ChunkedArray, max_characters: int, counts: Int64Array) -> Int64Array:
    """Add how often each bucket occurs in texts to counts, (buckets,); return the texts that are left, above 64 KiB."""

    def work(part: Part, rows: Int64Array, mine: Int64Array) -> None:
        found = part.arrays.xp.zeros(len(counts), np.uint64)
        part.launch(SOURCE, "count_ngrams", len(part.rows), part.rows, np.int64(len(counts)), found)
        np.add(counts, part.arrays.get(found).astype(np.int64), out=counts)

    return for_each_normal_part(texts, max_characters, BYTES_EACH, work)


def weigh_on_device(
    texts: pa.ChunkedArray, max_characters: int, ratios: Float64Array, sums: Float64Array, counts: Int64Array
) -> Int64Array:
    """Write the sum of the ratios of each text's n-grams, (n,), and how many they are, (n,); return the texts left."""
    there = list[Array]()

    def work(part: Part, rows: Int64Array, mine: Int64Array) -> None:
        arrays, texts = part.arrays, part.last - part.first
        if not there:
            there.append(arrays.put(np.ascontiguousarray(ratios)))
        total, found = arrays.xp.empty(texts, np.float64), arrays.xp.empty(texts, np.int32)
        about = (np.int64(len(ratios)), there[0], total, found)
        part.launch(SOURCE, "sum_ratios", len(part.rows), part.rows, *about)
        sums[rows], counts[rows] = arrays.get(total)[mine], arrays.get(found)[mine]

    return for_each_normal_part(texts, max_characters, BYTES_EACH, work)
