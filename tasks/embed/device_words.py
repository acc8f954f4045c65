"""`words.py` in CUDA C: the words of texts and their hashes, a thread a text, bit for bit those of the CPU.

The words of text i lie from place offsets[i] / 2 + i on: two words never begin in fewer than two bytes.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from evenkeel.infra.dtypes import Array, Int64Array
from evenkeel.tasks.embed.device_texts import Part, for_each_normal_part

CHARACTERS = r"""
typedef unsigned char byte;
typedef unsigned long long u64;
#define SEED 0xcbf29ce484222325ull
enum Kind { SEPARATOR, LETTER, ALONE };

__device__ u64 mix(u64 value) {
  value = (value ^ (value >> 33)) * 0xff51afd7ed558ccdull;
  value = (value ^ (value >> 33)) * 0xc4ceb9fe1a85ec53ull;
  return value ^ (value >> 33);
}

__device__ bool between(int point, int first, int last) { return first <= point && point <= last; }

__device__ Kind kind_at(const byte* data, long long at, long long end, int* width) {
  int lead = data[at];
  *width = 1;
  if (lead < 0x80)
    return between(lead, 0x30, 0x39) || between(lead, 0x41, 0x5a) || between(lead, 0x61, 0x7a) ? LETTER : SEPARATOR;
  int wide = lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
  *width = (int)(at + wide > end ? end - at : wide);
  if (at + wide > end) return SEPARATOR;
  if (wide == 2) return lead == 0xc2 ? SEPARATOR : LETTER;
  if (wide == 4) return lead == 0xf0 ? ALONE : LETTER;
  int point = (lead & 0x0f) << 12 | (data[at + 1] & 0x3f) << 6 | (data[at + 2] & 0x3f);
  if (between(point, 0x2000, 0x2bff) || between(point, 0x3000, 0x303f) || between(point, 0xfe00, 0xfe6f))
    return SEPARATOR;
  if (between(point, 0x2e80, 0x9fff) || between(point, 0xf900, 0xfaff) || between(point, 0x0e00, 0x0eff) ||
      between(point, 0x1780, 0x17ff))
    return ALONE;
  return LETTER;
}

"""
SOURCE = (
    CHARACTERS
    + r"""
// counts: words of every text.
extern "C" __global__ void word_hashes(
    const byte* data, const long long* offsets, const int* rows, u64* hashes, int* counts, long long count) {
  long long one = (long long)blockIdx.x * blockDim.x + threadIdx.x;
  if (one >= count) return;
  int text = rows[one], used = 0, width;
  long long end = offsets[text + 1];
  u64 *found = hashes + offsets[text] / 2 + text, state = SEED;
  bool inside = false;
  for (long long at = offsets[text]; at < end; at += width) {
    Kind kind = kind_at(data, at, end, &width);
    if (inside && kind != LETTER) {
      found[used++] = mix(state);
      state = SEED;
      inside = false;
    }
    if (kind == SEPARATOR) continue;
    for (long long place = at; place < at + width; place++)
      state = (state ^ (u64)(between(data[place], 0x41, 0x5a) ? data[place] | 0x20 : data[place])) * 0x100000001b3ull;
    inside = true;
    if (kind == ALONE) {
      found[used++] = mix(state);
      state = SEED;
      inside = false;
    }
  }
  if (inside) found[used++] = mix(state);
  counts[text] = used;
}
"""
)


class WordsThere(NamedTuple):
    """The words of a part of some texts, on the device.

    part: the texts. hashes: uint64, of each text from its place on. counts: (m,) int32, words of each. rows: (r,) int64
    on this machine, which of all texts are worked on; mine: the same, counted from the first of the part.
    """

    part: Part
    hashes: Array
    counts: Array
    rows: Int64Array
    mine: Int64Array


def for_each_part_of_words(
    texts: pa.ChunkedArray | pa.Array, max_characters: int, source: str, each: int, work: Callable[[WordsThere], None]
) -> Int64Array:
    """Call work(words) for the words of consecutive texts; return which texts are left out: those above 64 KiB.

    source: of kernels that read them; `SOURCE` and more. each: about how many bytes of memory a byte of text takes.
    """

    def hashed(part: Part, rows: Int64Array, mine: Int64Array) -> None:
        xp, texts = part.arrays.xp, part.last - part.first
        hashes, counts = xp.empty(len(part.data) // 2 + texts, np.uint64), xp.zeros(texts, np.int32)
        part.launch(source, "word_hashes", len(part.rows), part.rows, hashes, counts)
        work(WordsThere(part, hashes, counts, rows, mine))

    return for_each_normal_part(texts, max_characters, each, hashed)
