"""The statistics of texts on a CUDA device: the numbers of `kernel.measure`, bit for bit.

Counts are whole numbers and hashes those of the CPU; a share is one division in double precision, which a device rounds
as a CPU does.
"""

from collections.abc import Sequence

import numpy as np

from evenkeel.infra.dtypes import BoolArray, Float64Array, Int64Array, UInt64Array
from evenkeel.tasks.embed.device_texts import LONGEST, Part, for_each_part, kept
from evenkeel.tasks.signal.text.characters import Bytes, character_classes
from evenkeel.tasks.signal.text.device import c4, repetition, scan
from evenkeel.tasks.signal.text.statistics import COUNTED, NGRAMS, REPEATED, STATISTICS

BYTES_EACH = 20  # of the device's memory for a byte of English text: some 60 for a word, and the text
SOURCE = (
    scan.SOURCE
    + repetition.SOURCE
    + c4.SOURCE
    + f"""
#define STATISTICS {len(STATISTICS)}
#define REPEATED {len(COUNTED)}
#define NGRAMS {len(COUNTED) + len(REPEATED)}
#define CLEANED {len(COUNTED) + len(REPEATED) + len(NGRAMS)}
"""
    + r"""
struct Room { Words words; Pieces pieces; Table table; Grams grams; byte* line; };

template <class T> __device__ T* take(byte*& at, long long count) {
  T* found = (T*)at;
  at += count * sizeof(T);
  return found;
}

// Lay out the room for a text of so many words, pieces and bytes, widest numbers first; returns its bytes.
__device__ long long lay_out(byte* begin, int words, int pieces, int bytes, int asked, Room* room) {
  byte* at = begin;
  long long most = words > pieces ? words : pieces, w = words + 1, p = pieces;
  bool scans = asked & 7, tables = asked & 6, grams = asked & 4;
  room->words.hashes = take<u64>(at, scans ? w : 0);
  room->pieces.hashes = take<u64>(at, scans ? p : 0);
  room->table.keys = take<u64>(at, tables ? most : 0);
  room->table.size = (unsigned)(2 * most + 1);
  room->table.slots = take<unsigned>(at, tables ? 2 * most + 1 : 0);
  room->words.characters = take<int>(at, scans ? w : 0);
  room->pieces.characters = take<int>(at, scans ? p : 0);
  room->pieces.words = take<int>(at, scans ? p : 0);
  room->grams.words = take<int>(at, grams ? w : 0);
  room->grams.grams = take<int>(at, grams ? w : 0);
  room->grams.places = take<int>(at, grams ? w : 0);
  room->grams.counts = take<int>(at, grams ? w : 0);
  room->grams.firsts = take<int>(at, grams ? w : 0);
  room->grams.ends = take<int>(at, grams ? w : 0);
  room->grams.repeated = take<byte>(at, grams ? w : 0);
  room->words.classes = take<byte>(at, scans ? w : 0);
  room->line = take<byte>(at, asked & 8 ? bytes : 0);
  return (at - begin + 7) / 8 * 8;
}

// asked: a bit for every group of statistics. counts: words and pieces at most. sizes: bytes of room.
extern "C" __global__ void room_sizes(
    const byte* data, const long long* offsets, const int* rows, int asked, int* counts, long long* sizes,
    long long count) {
  long long at = (long long)blockIdx.x * blockDim.x + threadIdx.x;
  if (at >= count) return;
  long long begin = offsets[rows[at]];
  int bytes = (int)(offsets[rows[at] + 1] - begin);
  Room room;
  most_words(data + begin, bytes, counts + 2 * at, counts + 2 * at + 1);
  sizes[at] = lay_out(0, counts[2 * at], counts[2 * at + 1], bytes, asked, &room);
}

// ends: where the room of each text ends. out: (statistics, texts).
extern "C" __global__ void measure(
    const byte* data, const long long* offsets, const int* rows, int asked, const int* counts, const long long* ends,
    const byte* classes, const u64* stop_words, int stops, const long long* limits, byte* rooms, double* out,
    long long texts, long long count) {
  long long at = (long long)blockIdx.x * blockDim.x + threadIdx.x;
  if (at >= count) return;
  const byte* text = data + offsets[rows[at]];
  int end = (int)(offsets[rows[at] + 1] - offsets[rows[at]]);
  Room room;
  double found[STATISTICS];
  for (int one = 0; one < STATISTICS; one++) found[one] = 0;
  lay_out(rooms + (at ? ends[at - 1] : 0), counts[2 * at], counts[2 * at + 1], end, asked, &room);
  if (asked & 7) {
    Found f = scan(text, end, classes, limits[0], room.words, room.pieces);
    if (asked & 6)
      for (unsigned slot = 0; slot < room.table.size; slot++) room.table.slots[slot] = 0;
    if (asked & 1) counted(f, room.words, stop_words, stops, found);
    if (asked & 2) repeated(text, f, room.pieces, room.table, found + REPEATED);
    if (asked & 4) repeated_ngrams(room.words, f, room.grams, room.table, found + NGRAMS);
  }
  if (asked & 8) c4_page(text, end, classes, limits[1], limits[2], room.line, found + CLEANED);
  for (int one = 0; one < STATISTICS; one++) out[one * texts + rows[at]] = found[one];
}
"""
)


def measure_on_device(
    data: Bytes,
    offsets: Int64Array,
    valid: BoolArray,
    stop_words: UInt64Array,
    limits: Int64Array,
    asked: BoolArray,
    columns: Sequence[int],
    out: Float64Array,
) -> Int64Array:
    """Fill in some columns of what `kernel.measure` fills in with these arguments; return which texts are left to it.

    columns: of out, those that come home. Texts of more than 64 KiB are left.
    """
    lengths = np.diff(offsets)
    out[~valid] = np.nan
    groups = int((asked << np.arange(len(asked))).sum())

    def work(part: Part) -> None:
        arrays, count, texts = part.arrays, len(part.rows), part.last - part.first
        xp = arrays.xp
        counts, sizes = xp.empty(2 * count, np.int32), xp.empty(count, np.int64)
        part.launch(SOURCE, "room_sizes", count, part.rows, np.int32(groups), counts, sizes)
        ends = xp.cumsum(sizes)
        rooms = xp.empty(int(ends[-1]), np.uint8)
        found = xp.zeros((len(STATISTICS), texts), np.float64)
        about = (
            kept(arrays, "classes", lambda: arrays.put(character_classes())),
            arrays.put(stop_words),
            np.int32(len(stop_words)),
            arrays.put(limits),
        )
        part.launch(
            SOURCE, "measure", count, part.rows, np.int32(groups), counts, ends, *about, rooms, found, np.int64(texts)
        )
        mine = valid[part.first : part.last]
        for column in columns:
            out[part.first : part.last, column][mine] = arrays.get(found[column])[mine]

    for_each_part(data, offsets, valid & (lengths > 0) & (lengths <= LONGEST), BYTES_EACH, work)
    return np.flatnonzero(valid & (lengths > LONGEST))
