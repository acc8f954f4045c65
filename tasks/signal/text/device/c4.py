"""`c4.py` in CUDA C: the lines and sentences that C4 keeps of a text, by one thread."""

from evenkeel.infra.dtypes import Int64Array
from evenkeel.tasks.signal.text import c4


def _list(name: str, values: Int64Array | bytes | list[int]) -> str:
    return f"__device__ const unsigned char {name}[] = {{{', '.join(map(str, values))}}};\n"


SOURCE = (
    f"#define PHRASES {len(c4.PHRASES)}\n#define LOREM {c4._LOREM}\n#define JAVASCRIPT {c4._JAVASCRIPT}\n"
    f"#define OTHERS {c4._OTHERS}\n#define KELVIN {c4._KELVIN}\n#define EDITS {len(c4._EDIT)}\n"
    f"#define NEEDEDS {len(c4._NEEDED)}\n"
    + _list("PHRASE_TEXT", c4._TEXT.tolist())
    + _list("PHRASE_STARTS", c4._STARTS.tolist())
    + _list("FIRST_LETTERS", c4._FIRST_LETTERS.tolist())
    + _list("SECOND_LETTERS", c4._SECOND_LETTERS.tolist())
    + _list("EDIT", c4._EDIT.tolist())
    + _list("NEEDED", c4._NEEDED.tolist())
    + f"__device__ bool closing(int point) {{ return {' || '.join(f'point == {one}' for one in c4._CLOSING)}; }}\n"
    + r"""
__device__ bool starts_with(const byte* data, int at, int end, const byte* text, int start, int stop) {
  if (at + stop - start > end) return false;
  for (int place = start; place < stop; place++)
    if (data[at + place - start] != text[place]) return false;
  return true;
}

// Where the citation at `at` ends: [12], [], [edit] or [citation needed]; `at` if it is none.
__device__ int after_citation(const byte* data, int at, int end, const byte* classes) {
  int place = at + 1;
  for (int width; place < end; place += width)
    if (!(classes[character_at(data, place, end, &width)] & DIGIT)) break;
  if (place < end && data[place] == 0x5d) return place + 1;
  if (starts_with(data, at, end, EDIT, 0, EDITS)) return at + EDITS;
  if (starts_with(data, at, end, NEEDED, 0, NEEDEDS)) return at + NEEDEDS;
  return at;
}

// Copy a line in lower case without citations; returns its bytes.
__device__ int without_citations(const byte* data, int at, int end, const byte* classes, byte* line) {
  int used = 0;
  while (at < end) {
    int one = data[at], width = 1;
    if (one == 0x5b) {
      int after = after_citation(data, at, end, classes);
      if (after > at) {
        at = after;
        continue;
      }
    }
    int wide;
    if (one == 0xe2 && character_at(data, at, end, &wide) == KELVIN) {
      one = 0x6b;
      width = 3;
    } else if (0x41 <= one && one <= 0x5a) {
      one += 0x20;
    }
    line[used++] = (byte)one;
    at += width;
  }
  return used;
}

__device__ bool ends_well(const byte* line, int used) {
  if (!used) return false;
  int last = line[used - 1];
  if (last == 0x2e) return used < 3 || line[used - 2] != 0x2e || line[used - 3] != 0x2e;
  return last == 0x3f || last == 0x21 || last == 0x22 || last == 0x27;
}

__device__ int phrases_in(const byte* line, int used) {
  int found = 0;
  for (int at = 0; at < used - 1; at++) {
    int likely = FIRST_LETTERS[line[at]] & SECOND_LETTERS[line[at + 1]];
    for (int phrase = 0; likely >> phrase; phrase++)
      if (likely >> phrase & 1 &&
          starts_with(line, at, used, PHRASE_TEXT, PHRASE_STARTS[phrase], PHRASE_STARTS[phrase + 1]))
        found |= 1 << phrase;
  }
  return found;
}

__device__ bool has_curly_bracket(const byte* line, int used) {
  for (int at = 0; at < used; at++)
    if (line[at] == 0x7b) return true;
  return false;
}

// How many sentences a line has; what stands after the last end is one too.
__device__ int sentences_in(const byte* line, int used, const byte* classes) {
  int sentences = 0;
  bool inside = false, ended = false;
  for (int at = 0, width; at < used; at += width) {
    int point = character_at(line, at, used, &width);
    if (classes[point] & WHITE) {
      sentences += ended;
      inside = inside && !ended;
      ended = false;
    } else if (point == 0x2e || point == 0x3f || point == 0x21 || point == 0x2026) {
      inside = ended = true;
    } else if (!(ended && closing(point))) {
      inside = true;
      ended = false;
    }
  }
  return sentences + inside;
}

__device__ void c4_page(
    const byte* data, int end, const byte* classes, long long min_words, long long max_word_length, byte* line,
    double* out) {
  int sentences = 0, lines = 0, at = 0;
  bool lorem_ipsum = false, curly_bracket = false;
  while (at < end) {
    int words = 0, length = 0, longest = 0, first = at, last = at;
    bool breaks = false;
    while (at < end && !breaks) {
      int width, kind = classes[character_at(data, at, end, &width)];
      at += width;
      if (kind & WHITE) {
        length = 0;
        breaks = (kind & BREAK) != 0;
      } else {
        if (!length && ++words == 1) first = at - width;
        length++;
        longest = length > longest ? length : longest;
        last = at;
      }
    }
    if (words < (min_words > 1 ? min_words : 1) || longest > max_word_length) continue;
    int used = without_citations(data, first, last, classes, line);
    if (!ends_well(line, used)) continue;
    int phrases = phrases_in(line, used);
    if (phrases & LOREM) {
      lorem_ipsum = true;
    } else if (phrases & JAVASCRIPT) {
      continue;
    } else if (has_curly_bracket(line, used)) {
      curly_bracket = true;
    } else if (!(phrases & OTHERS)) {
      lines++;
      sentences += sentences_in(line, used, classes);
    }
  }
  out[0] = lines;
  out[1] = sentences;
  out[2] = lorem_ipsum;
  out[3] = curly_bracket;
}
"""
)
