"""MinHash on a GPU, from the bytes of texts to their buckets: what `minhash.py` computes on a CPU, bit for bit.

cuDF has a MinHash kernel too, with other hash functions: a pair near the threshold would be found by one kind of
machine and missed by the other. This one computes the same numbers, so a recipe keeps the same rows on both. Texts are
brought to their normal form on the CPU.
"""

import numpy as np
import pyarrow as pa

from evenkeel.infra.dtypes import BoolArray, Int64Array, UInt32Array, UInt64Array
from evenkeel.tasks.dedup.config import MAX_HASHES, NearConfig
from evenkeel.tasks.embed import device_words
from evenkeel.tasks.embed.device_texts import THREADS
from evenkeel.tasks.embed.device_words import WordsThere, for_each_part_of_words

BYTES_EACH = 8  # of the device's memory for a byte of text
SOURCE = (
    device_words.SOURCE
    + f"""
#define THREADS {THREADS}
#define MAX_HASHES {MAX_HASHES}
"""
    + r"""
__device__ u64 shingle(const u64* words, int start, int stop) {
  u64 value = 0x9e3779b97f4a7c15ull;
  for (int place = start; place < stop; place++) {
    value = (value ^ words[place]) * 0xbf58476d1ce4e5b9ull;
    value ^= value >> 29;
  }
  return mix(value);
}

// A block a text: a thread a shingle, as many at a time as the block has threads, then a thread a hash function, or
// every 128th where there are more, then a thread a band. buckets: (bands, texts).
extern "C" __global__ void band_hashes(
    const byte* data, const long long* offsets, const int* rows, const u64* hashes, const int* counts, int width,
    const unsigned* turn, const unsigned* factor, int size, int bands, u64* buckets, long long texts,
    long long count) {
  __shared__ unsigned shingles[THREADS], minima[MAX_HASHES];
  int text = rows[blockIdx.x], words = counts[text], step = blockDim.x, me = threadIdx.x;
  int all = (words > width ? words - width : 0) + 1;
  const u64* mine = hashes + offsets[text] / 2 + text;
  for (int one = me; one < size; one += step) minima[one] = 0xffffffffu;
  for (int first = 0; first < all; first += step) {
    int at = first + me, here = all - first < step ? all - first : step;
    if (at < all) shingles[me] = (unsigned)(shingle(mine, at, at + width < words ? at + width : words) >> 32);
    __syncthreads();
    for (int one = me; one < size; one += step) {
      unsigned least = minima[one], turned = turn[one], times = factor[one];
      for (int place = 0; place < here; place++) {
        unsigned hashed = (shingles[place] ^ turned) * times;
        least = hashed < least ? hashed : least;
      }
      minima[one] = least;
    }
    __syncthreads();
  }
  for (int band = me; band < bands; band += step) {
    u64 bucket = band;
    for (int one = band * (size / bands); one < (band + 1) * (size / bands); one++) bucket = mix(bucket ^ minima[one]);
    buckets[band * texts + text] = bucket;
  }
}
"""
)


def band_hashes_on_device(
    texts: pa.ChunkedArray,
    config: NearConfig,
    turn: UInt32Array,
    factor: UInt32Array,
    buckets: UInt64Array,
    wordy: BoolArray,
) -> Int64Array:
    """Write the bucket of every text in every band, (bands, n), and which texts have a word, (n,).

    turn, factor: of every hash function, at most 144. Returns the texts that are left to the CPU, of more than 64 KiB.
    """
    size, bands = len(turn), len(buckets)

    def fill(words: WordsThere) -> None:
        part = words.part
        arrays, texts = part.arrays, part.last - part.first
        found = arrays.xp.empty((bands, texts), np.uint64)
        functions = (arrays.put(turn), arrays.put(factor), np.int32(size), np.int32(bands))
        about = (words.hashes, words.counts, np.int32(config.shingle), *functions, found, np.int64(texts))
        part.launch(SOURCE, "band_hashes", len(part.rows), part.rows, *about, threads=THREADS)
        buckets[:, words.rows] = arrays.get(found)[:, words.mine]
        wordy[words.rows] = arrays.get(words.counts)[words.mine] > 0

    return for_each_part_of_words(texts, config.max_characters, SOURCE, BYTES_EACH, fill)
