"""`scan.py` in CUDA C: one thread finds the words, pieces and lines of a text. Same hashes, same counts."""

from evenkeel.tasks.signal.text import characters, scan

_NAMES = {
    **{name: getattr(characters, name) for name in ("WHITE", "BREAK", "LETTER", "WORDLIKE", "TERMINAL", "DIGIT")},
    **{name: getattr(scan, name) for name in ("FEED", "RETURN", "STOP", "HASH", "HYPHEN", "BULLET", "ELLIPSIS")},
    "REPLACEMENT": characters._REPLACEMENT,
    "SEED": f"{scan._SEED}ull",
    "PRIME": f"{scan._PRIME}ull",
    "PIECE_PRIME": f"{scan._PIECE_PRIME}ull",
}
SOURCE = (
    "".join(f"#define {name} {value}\n" for name, value in _NAMES.items())
    + r"""
typedef unsigned char byte;
typedef unsigned long long u64;

struct Words { u64* hashes; int* characters; byte* classes; };
struct Pieces { u64* hashes; int* characters; int* words; };
struct Found {
  int characters, words, pieces, start, end, first, last, lines, bullet_lines, ellipsis_lines, hash_signs, ellipses,
      full_pieces, terminal_pieces, short_pieces;
};

// The code point at `at` and its bytes; what is no UTF-8 is U+FFFD and never passes `end`.
__device__ int character_at(const byte* data, int at, int end, int* width) {
  int lead = data[at];
  *width = 1;
  if (lead < 0x80) return lead;
  if (lead < 0xc2 || lead > 0xf4) return REPLACEMENT;
  int wide = lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
  if (at + wide > end) {
    *width = end - at;
    return REPLACEMENT;
  }
  *width = wide;
  int point = lead & (0x7f >> wide);
  for (int place = at + 1; place < at + wide; place++) point = point << 6 | (data[place] & 0x3f);
  return point < 0x110000 ? point : REPLACEMENT;
}

__device__ u64 mix(u64 value) {
  value = (value ^ (value >> 32)) * 0xd6e8feb86659fd93ull;
  return value ^ (value >> 32);
}

__device__ u64 hash_piece(const byte* data, int at, int end, int* characters) {
  u64 state = SEED;
  int width;
  for (*characters = 0; at < end; at += width, ++*characters)
    state = (state ^ (u64)character_at(data, at, end, &width)) * PIECE_PRIME;
  return mix(state);
}

__device__ bool starts_with_bullet(const byte* data, int at, int end) {
  int width, point = character_at(data, at, end, &width);
  return point == HYPHEN || point == BULLET;
}

__device__ bool ends_in_ellipsis(const byte* data, int start, int end) {
  if (end - start < 3) return false;
  int a = data[end - 3], b = data[end - 2], c = data[end - 1];
  return (a == STOP && b == STOP && c == STOP) || (a == 0xe2 && b == 0x80 && c == 0xa6);
}

// How many words and pieces a text may have at most.
__device__ void most_words(const byte* data, int end, int* words, int* pieces) {
  *words = *pieces = 1;
  for (int at = 0; at < end; at++) {
    int one = data[at];
    *words += one <= 0x20 || one == 0xc2 || (one >= 0xe1 && one <= 0xe3);
    *pieces += one == FEED;
  }
}

__device__ Found scan(const byte* data, int end, const byte* classes, long long most, Words words, Pieces pieces) {
  Found f = {};
  u64 piece_state = SEED;
  int piece_characters = 0, piece_words = 0, line_words = 0;
  bool line_is_open = false, with_ellipsis = false, after_return = false;
  for (int at = 0, width; at <= end; at += width) {
    int word_start = at, word_characters = 0, word_classes = 0, point = -1, kind = WHITE, last_kind = 0, stops = 0;
    u64 word_state = SEED;
    width = 1;
    while (at < end) {
      point = character_at(data, at, end, &width);
      kind = classes[point];
      if (kind & WHITE) break;
      at += width;
      word_state = (word_state ^ (u64)point) * PRIME;
      piece_state = (piece_state ^ (u64)point) * PIECE_PRIME;
      word_characters++;
      word_classes |= kind;
      last_kind = kind;
      if (kind & WORDLIKE) {
        stops = 0;
      } else {
        f.hash_signs += point == HASH;
        stops = point == STOP ? stops + 1 : 0;
        if (stops == 3 || point == ELLIPSIS) {
          f.ellipses++;
          stops = 0;
        }
      }
    }
    if (word_characters) {
      words.hashes[f.words] = mix(word_state);
      words.characters[f.words] = word_characters;
      words.classes[f.words] = (byte)word_classes;
      if (!f.words) {
        f.start = word_start;
        f.first = f.pieces;
      }
      if (!line_words) f.bullet_lines += starts_with_bullet(data, word_start, at);
      with_ellipsis = ends_in_ellipsis(data, word_start, at);
      f.end = at;
      f.last = f.pieces;
      f.words++, line_words++, piece_words++;
      f.characters += word_characters;
      piece_characters += word_characters;
      line_is_open = true;
      after_return = false;
    }
    bool closes = at == end;  // the end of the text closes what is open
    if (closes) {
      point = -1;
      kind = BREAK;
    }
    f.characters += !closes;
    if (!(kind & BREAK)) {
      line_is_open = true;
    } else {
      if (line_is_open || !(closes || (point == FEED && after_return))) {
        f.lines++;
        f.ellipsis_lines += with_ellipsis;
      }
      line_words = 0;
      line_is_open = with_ellipsis = false;
    }
    if (closes || point == FEED) {
      pieces.hashes[f.pieces] = mix(piece_state);
      pieces.characters[f.pieces] = piece_characters;
      pieces.words[f.pieces] = piece_words;
      f.pieces++;
      if (piece_words) {
        f.full_pieces++;
        f.terminal_pieces += (last_kind & TERMINAL) != 0;
        f.short_pieces += piece_characters <= most;
      }
      piece_state = SEED;
      piece_characters = piece_words = 0;
    } else {
      piece_state = (piece_state ^ (u64)point) * PIECE_PRIME;
      piece_characters++;
    }
    after_return = point == RETURN;
  }
  return f;
}

__device__ double share(long long part, long long whole) { return (double)part / (double)(whole > 1 ? whole : 1); }

__device__ void counted(const Found& f, Words words, const u64* stop_words, int stops, double* out) {
  long long wordlike = 0, letters = 0, alphabetic = 0;
  u64 seen = 0, likely = 0;
  for (int place = 0; place < stops; place++) likely |= 1ull << (stop_words[place] & 63);
  for (int word = 0; word < f.words; word++) {
    int kind = words.classes[word];
    if (kind & WORDLIKE) {
      wordlike++;
      letters += words.characters[word];
    }
    alphabetic += (kind & LETTER) != 0;
    u64 hash = words.hashes[word];
    if (likely >> (hash & 63) & 1)
      for (int place = 0; place < stops; place++) seen |= (u64)(hash == stop_words[place]) << place;
  }
  out[0] = f.characters;
  out[1] = f.words;
  out[2] = wordlike;
  out[3] = share(letters, wordlike);
  out[4] = share(f.hash_signs, f.words);
  out[5] = share(f.ellipses, f.words);
  out[6] = share(alphabetic, f.words);
  out[7] = __popcll(seen);
  out[8] = f.lines;
  out[9] = share(f.bullet_lines, f.lines);
  out[10] = share(f.ellipsis_lines, f.lines);
  out[11] = f.full_pieces;
  out[12] = share(f.terminal_pieces, f.full_pieces);
  out[13] = share(f.short_pieces, f.full_pieces);
  out[14] = share(f.pieces - 1, f.words);
}
"""
)
