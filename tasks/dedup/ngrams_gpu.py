"""Listed n-grams of texts, counted on a GPU from the bytes of the texts: what `ngrams.py` counts on a CPU."""

from collections.abc import Mapping

import numpy as np
import pyarrow as pa

from evenkeel.infra.dtypes import Array, Int64Array, UInt64Array
from evenkeel.tasks.embed import device_words
from evenkeel.tasks.embed.device_texts import THREADS
from evenkeel.tasks.embed.device_words import WordsThere, for_each_part_of_words

BYTES_EACH = 6  # of the device's memory for a byte of text
SOURCE = (
    device_words.SOURCE
    + r"""
// A block a text, a thread an n-gram. listed: sorted. found: n-grams of a text that are listed are added.
extern "C" __global__ void count_listed(
    const byte* data, const long long* offsets, const int* rows, const u64* hashes, const int* counts, int length,
    const u64* listed, long long size, int* found, long long count) {
  int text = rows[blockIdx.x], mine = 0;
  const u64* words = hashes + offsets[text] / 2 + text;
  for (int first = threadIdx.x; first <= counts[text] - length; first += blockDim.x) {
    u64 value = (u64)length;
    for (int place = first; place < first + length; place++) {
      value = (value ^ words[place]) * 0xbf58476d1ce4e5b9ull;
      value ^= value >> 29;
    }
    value = mix(value);
    long long low = 0, high = size;
    while (low < high) {
      long long middle = (low + high) / 2;
      if (listed[middle] < value) low = middle + 1;
      else high = middle;
    }
    mine += low < size && listed[low] == value;
  }
  if (mine) atomicAdd(found + text, mine);
}
"""
)


def count_listed_on_device(
    texts: pa.ChunkedArray, max_characters: int, listed: Mapping[int, UInt64Array], counts: Int64Array
) -> Int64Array:
    """Write how many n-grams of each text are listed, (n,) int64; return the texts that are left to the CPU.

    listed: sorted hashes by length, as `ngrams.listed_ngrams` makes them; they are copied to the device once a call.
    """
    there = dict[int, Array]()

    def count(words: WordsThere) -> None:
        part = words.part
        arrays = part.arrays
        found = arrays.xp.zeros(part.last - part.first, np.int32)
        for length, hashes in listed.items():
            if length not in there:
                there[length] = arrays.put(np.ascontiguousarray(hashes))
            about = (np.int32(length), there[length], np.int64(len(hashes)), found)
            part.launch(
                SOURCE, "count_listed", len(part.rows), part.rows, words.hashes, words.counts, *about, threads=THREADS
            )
        counts[words.rows] = arrays.get(found)[words.mine]

    return for_each_part_of_words(texts, max_characters, SOURCE, BYTES_EACH, count)
