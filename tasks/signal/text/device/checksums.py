"""`checksums.py` in CUDA C: card and account numbers whose check digits are right, a thread a text; the same counts."""

import numpy as np

from evenkeel.infra.dtypes import Int64Array
from evenkeel.tasks.embed.device_texts import LONGEST, Part, for_each_part
from evenkeel.tasks.signal.text import checksums
from evenkeel.tasks.signal.text.characters import Bytes

BYTES_EACH = 2  # of the device's memory for a byte of text
_NUMBERS = ("SPACE", "HYPHEN", "POINT", "FEWEST_DIGITS", "MOST_DIGITS", "LONGEST_IBAN")
SOURCE = (
    "".join(f"#define {name} {getattr(checksums, name)}\n" for name in _NUMBERS)
    + "typedef unsigned char byte;\n"
    + f"__device__ const byte IBAN_LENGTHS[] = {{{', '.join(map(str, checksums.IBAN_LENGTHS.tolist()))}}};\n"
    + r"""
__device__ bool is_digit(int one) { return 0x30 <= one && one <= 0x39; }

__device__ bool is_capital(int one) { return 0x41 <= one && one <= 0x5a; }

__device__ bool is_word(int one) {
  return is_digit(one) || is_capital(one) || (0x61 <= one && one <= 0x7a) || one == 0x5f || one >= 0x80;
}

// Whether an issuer of cards has numbers of this beginning and length.
__device__ bool issued(const byte* digits, int used) {
  int four = 1000 * digits[0] + 100 * digits[1] + 10 * digits[2] + digits[3];
  if (4000 <= four && four < 5000) return used == 13 || used == 16 || used == 19;
  if ((5100 <= four && four < 5600) || (2221 <= four && four <= 2720)) return used == 16;
  if ((3400 <= four && four < 3500) || (3700 <= four && four < 3800)) return used == 15;
  bool diners = (3000 <= four && four < 3060) || (3600 <= four && four < 3700) || (3800 <= four && four < 4000);
  if (diners) return used == 14;
  bool others = (3528 <= four && four < 3590) || four == 6011 || (6440 <= four && four < 6600) ||
                (6200 <= four && four < 6300);
  return others && used >= 16;
}

__device__ bool luhn(const byte* digits, int used) {
  int total = 0;
  for (int place = 0; place < used; place++) {
    int digit = digits[used - 1 - place];
    if (place % 2) digit = digit > 4 ? 2 * digit - 9 : 2 * digit;
    total += digit;
  }
  return total % 10 == 0;
}

// Where the card number at `start` ends, `start` if there is none.
__device__ int card_at(const byte* data, int start, int end) {
  byte digits[MOST_DIGITS];
  int at = start, found = start, used = 0, group = 0, groups = 0, separator = 0, first_group = 0, second_group = 0;
  bool in_fours = true;
  while (at < end && used < MOST_DIGITS && is_digit(data[at])) {
    digits[used++] = data[at++] - 0x30;
    group++;
    if (at < end && is_digit(data[at])) continue;
    groups++;
    if (groups == 1) first_group = group;
    if (groups == 2) second_group = group;
    bool shape = groups == 1 || (in_fours && group <= 4) ||
                 (groups == 3 && first_group == 4 && second_group == 6 && group == 5);
    bool ends = at == end || !is_word(data[at]);
    if (used >= FEWEST_DIGITS && shape && ends && issued(digits, used) && luhn(digits, used)) found = at;
    in_fours = in_fours && group == 4;
    if (!ends || at + 1 >= end || !(data[at] == SPACE || data[at] == HYPHEN)) break;
    int sign = data[at];
    if (separator && separator != sign) break;
    separator = sign;
    group = 0;
    at++;
  }
  return found;
}

// Where the account number at `start` ends, `start` if there is none.
__device__ int iban_at(const byte* data, int start, int end) {
  if (start + 4 > end || !is_capital(data[start + 1])) return start;
  byte signs[LONGEST_IBAN];
  int length = IBAN_LENGTHS[(data[start] - 0x41) * 26 + data[start + 1] - 0x41], used = 0, at = start;
  while (at < end && used < length) {
    int one = data[at];
    if (is_digit(one)) {
      signs[used] = one - 0x30;
    } else if (is_capital(one) && !(2 <= used && used < 4)) {
      signs[used] = one - 0x37;
    } else if (one == SPACE && used > 3 && data[at - 1] != SPACE) {
      at++;
      continue;
    } else {
      return start;
    }
    used++;
    at++;
  }
  if (!length || used < length || (at < end && is_word(data[at]))) return start;
  int rest = 0;
  for (int place = 0; place < length; place++) {
    int sign = signs[(place + 4) % length];
    rest = (rest * (sign > 9 ? 100 : 10) + sign) % 97;
  }
  return rest == 1 ? at : start;
}

extern "C" __global__ void count_numbers(
    const byte* data, const long long* offsets, const int* rows, int cards, int ibans, int* counts, long long count) {
  long long one = (long long)blockIdx.x * blockDim.x + threadIdx.x;
  if (one >= count) return;
  const byte* text = data + offsets[rows[one]];
  int end = (int)(offsets[rows[one] + 1] - offsets[rows[one]]), found = 0;
  bool before = false;  // whether the byte before is a letter or digit
  for (int at = 0; cards && at < end;) {
    if (before || !(0x32 <= text[at] && text[at] <= 0x36)) {
      before = is_word(text[at]) || text[at] == POINT;
      at++;
      continue;
    }
    int stop = card_at(text, at, end);
    found += stop > at;
    before = true;
    at = stop > at ? stop : at + 1;
  }
  before = false;
  for (int at = 0; ibans && at < end;) {
    if (before || !is_capital(text[at])) {
      before = is_word(text[at]);
      at++;
      continue;
    }
    int stop = iban_at(text, at, end);
    found += stop > at;
    before = true;
    at = stop > at ? stop : at + 1;
  }
  counts[rows[one]] = found;
}
"""
)


def count_numbers_on_device(
    data: Bytes, offsets: Int64Array, cards: bool, ibans: bool, counts: Int64Array
) -> Int64Array:
    """Add how many card and account numbers each text has to counts, (n,); return the texts left, above 64 KiB."""
    lengths = np.diff(offsets)
    chosen = (lengths > 0) & (lengths <= LONGEST)

    def work(part: Part) -> None:
        found = part.arrays.xp.zeros(part.last - part.first, np.int32)
        part.launch(SOURCE, "count_numbers", len(part.rows), part.rows, np.int32(cards), np.int32(ibans), found)
        counts[part.first : part.last] += part.arrays.get(found)

    for_each_part(data, offsets, chosen, BYTES_EACH, work)
    return np.flatnonzero(lengths > LONGEST)
