"""`repetition.py` in CUDA C: lines, paragraphs and word n-grams that come again, by one thread.

A key is numbered when it first comes, so the numbers do not depend on how the table is made. This one has slots of the
number alone, with the use of the table in the upper bits, and the keys in the order of their numbers.
"""

from evenkeel.tasks.signal.text.statistics import DUPLICATE_NGRAMS

NUMBER_BITS = 28
SOURCE = (
    f"""
#define FIRST_DUPLICATE {DUPLICATE_NGRAMS[0]}
#define LONGEST {DUPLICATE_NGRAMS[-1]}
#define NUMBER_BITS {NUMBER_BITS}
"""
    + r"""
struct Table { unsigned* slots; u64* keys; unsigned size; };
struct Grams { int *words, *grams, *places, *counts, *firsts, *ends; byte* repeated; };

// The number of a key in a use, 1 to 15, of a table; a new key gets the number `fresh`.
__device__ int number_of(Table table, unsigned use, u64 key, int fresh) {
  unsigned slot = (unsigned)((mix(key) >> 32) * table.size >> 32);
  for (; table.slots[slot] >> NUMBER_BITS == use; slot = slot + 1 == table.size ? 0 : slot + 1) {
    int number = table.slots[slot] & ((1u << NUMBER_BITS) - 1);
    if (table.keys[number] == key) return number;
  }
  table.slots[slot] = use << NUMBER_BITS | fresh;
  table.keys[fresh] = key;
  return fresh;
}

__device__ void repeated(const byte* data, const Found& f, Pieces pieces, Table table, double* out) {
  int lines = 0, came = 0, characters = 0, full = 0;
  for (int piece = 0; piece < f.pieces; piece++) {
    int length = pieces.characters[piece];
    if (!length && 0 < piece && piece < f.pieces - 1) continue;  // two line feeds together
    if (number_of(table, 1, pieces.hashes[piece], lines) < lines) {
      came++;
      characters += length;
      full += pieces.words[piece] ? length : 0;
    }
    lines++;
  }
  int paragraphs = 0, came_whole = 0, characters_whole = 0, length = 0, parts = 0;
  u64 state = 0;
  for (int piece = f.first; piece <= f.last && f.first < f.last; piece++) {
    u64 hash = pieces.hashes[piece];
    int size = pieces.characters[piece];
    if (piece == f.first) {
      int stop = f.start;
      while (data[stop] != FEED) stop++;
      hash = hash_piece(data, f.start, stop, &size);
    } else if (piece == f.last) {
      int start = f.end;
      while (data[start - 1] != FEED) start--;
      hash = hash_piece(data, start, f.end, &size);
    }
    if (size) {
      state = mix(state + hash);
      length += size + (parts > 0);
      parts++;
    }
    if (parts && (!size || piece == f.last)) {
      if (number_of(table, 2, state, paragraphs) < paragraphs) {
        came_whole++;
        characters_whole += length;
      }
      paragraphs++;
      state = 0;
      length = parts = 0;
    }
  }
  out[0] = (double)came / lines;
  out[1] = (double)characters / f.characters;
  out[2] = share(came_whole, paragraphs);
  out[3] = (double)characters_whole / f.characters;
  out[4] = share(full, f.characters - (f.pieces - 1));
}

// Number the words and make a place of each that comes twice; returns how many places there are.
__device__ int number_words(Words words, int count, Grams grams, Table table) {
  int fresh = 0, left = 0;
  grams.ends[0] = 0;
  for (int place = 0; place < count; place++) {
    grams.ends[place + 1] = grams.ends[place] + words.characters[place];
    int word = number_of(table, 3, words.hashes[place], fresh);
    if (word == fresh) grams.counts[fresh++] = 0;
    grams.counts[word]++;
    grams.words[place] = grams.grams[place] = word;
  }
  for (int place = 0; place < count; place++) {
    bool twice = grams.counts[grams.words[place]] > 1;
    grams.repeated[place] = twice;
    if (twice) grams.places[left++] = place;
  }
  return left;
}

// Number and count the n-grams that may come twice; returns how many there are. The others get -1.
__device__ int number_ngrams(int n, int count, int left, Grams grams, Table table) {
  int fresh = 0;
  for (int index = 0; index < left; index++) {
    int place = grams.places[index];
    if (place + n > count || grams.repeated[place + 1] < n - 1) {
      grams.grams[place] = -1;
      continue;
    }
    u64 key = (u64)grams.grams[place] << 32 | (u64)grams.words[place + n - 1];
    int gram = number_of(table, n + 2, key, fresh);
    if (gram == fresh) {
      grams.counts[fresh] = 0;
      grams.firsts[fresh++] = place;
    }
    grams.counts[gram]++;
    grams.grams[place] = gram;
  }
  return fresh;
}

// Keep the places whose n-gram comes twice; *characters are those of repeats that do not overlap.
__device__ int keep_repeated(int n, int left, Grams grams, int* characters) {
  int kept = 0, unused = 0;
  *characters = 0;
  for (int index = 0; index < left; index++) {
    int place = grams.places[index], gram = grams.grams[place];
    if (gram < 0 || (grams.counts[gram] < 2 && grams.counts[gram] > -2)) continue;
    grams.places[kept++] = place;
    grams.repeated[place] = (byte)n;
    if (place < unused) continue;
    if (grams.counts[gram] < 0) {
      *characters += grams.ends[place + n] - grams.ends[place];
      unused = place + n;
    } else {
      grams.counts[gram] = -grams.counts[gram];  // seen
    }
  }
  return kept;
}

__device__ void repeated_ngrams(Words words, const Found& f, Grams grams, Table table, double* out) {
  int count = f.words, left = number_words(words, count, grams, table);
  for (int n = 2; n <= LONGEST; n++) {
    long long found = 0;
    bool top = n < FIRST_DUPLICATE;
    if (top && count >= n) found = grams.ends[n] + n - 1;  // if none comes twice, the first is the most frequent
    if (left) {
      int fresh = number_ngrams(n, count, left, grams, table), best = 0, characters;
      for (int gram = 0; gram < fresh; gram++)
        if (grams.counts[gram] > (grams.counts[best] > 1 ? grams.counts[best] : 1) || (!gram && grams.counts[0] > 1))
          best = gram;
      if (top && fresh && grams.counts[best] > 1) {
        int first = grams.firsts[best];
        found = (long long)grams.counts[best] * (grams.ends[first + n] - grams.ends[first] + n - 1);
      }
      left = keep_repeated(n, left, grams, &characters);
      if (!top) found = characters;
    }
    out[n - 2] = (double)found / f.characters;
  }
}
"""
)
