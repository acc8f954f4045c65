"""The loop over texts that fills in every statistic, in columns in the order of `statistics.STATISTICS`."""

from typing import NamedTuple

import numpy as np

from evenkeel.infra.compiled import compiled
from evenkeel.infra.dtypes import BoolArray, Float64Array, Int64Array, UInt64Array
from evenkeel.tasks.signal.text.c4 import c4_page
from evenkeel.tasks.signal.text.characters import LETTER, WORDLIKE, Bytes, Classes
from evenkeel.tasks.signal.text.repetition import (
    Grams,
    Table,
    duplicate_lines,
    duplicate_paragraphs,
    mask_for,
    repeated_ngrams,
)
from evenkeel.tasks.signal.text.scan import Found, Pieces, Words, most_words, scan
from evenkeel.tasks.signal.text.statistics import COUNTED, NGRAMS, REPEATED

_REPEATED = len(COUNTED)
_NGRAMS = _REPEATED + len(REPEATED)
_CLEANED = _NGRAMS + len(NGRAMS)
_MARKS = 2 + 1 + len(NGRAMS)  # uses of the table by one text


class Room(NamedTuple):
    """Room for what is found in one text, long enough for each text of an array."""

    words: Words
    pieces: Pieces
    table: Table
    grams: Grams
    line: Bytes


def room_for(data: Bytes, offsets: Int64Array, rows: Int64Array) -> Room:
    """Return room for some texts data[offsets[i]:offsets[i + 1]]: some 60 bytes for each word of the longest."""
    words, pieces = most_words(data, offsets, rows)
    slots = mask_for(max(words, pieces)) + 1
    count = words + 1
    return Room(
        Words(np.empty(count, np.uint64), np.empty(count, np.int32), np.empty(count, np.uint8)),
        Pieces(np.empty(pieces, np.uint64), np.empty(pieces, np.int32), np.empty(pieces, np.int32)),
        Table(np.empty(slots, np.uint64), np.empty(slots, np.int32), np.zeros(slots, np.int64)),
        Grams(
            words=np.empty(count, np.int32),
            grams=np.empty(count, np.int32),
            repeated=np.empty(count, np.uint8),
            places=np.empty(count, np.int32),
            counts=np.empty(count, np.int32),
            firsts=np.empty(count, np.int32),
            ends=np.empty(count, np.int64),
        ),
        np.empty(int(np.diff(offsets)[rows].max(initial=0)), np.uint8),
    )


@compiled
def measure(
    data: Bytes,
    offsets: Int64Array,
    valid: BoolArray,
    rows: Int64Array,
    classes: Classes,
    stop_words: UInt64Array,
    limits: Int64Array,
    asked: BoolArray,
    room: Room,
    out: Float64Array,
) -> None:
    """Fill in the statistics of texts, (n, statistics) float64.

    valid: (n,) which texts are not null; the others become NaN. rows: those to fill in. stop_words: their hashes.
    limits: (3,) characters of a short line, fewest words of a line and longest word by C4. asked: (4,) which groups of
    statistics to fill in.
    """
    for row in rows:
        if not valid[row]:
            out[row] = np.nan
            continue
        begin, end = offsets[row], offsets[row + 1]
        if begin == end:
            continue
        if asked[0] or asked[1] or asked[2]:
            found = scan(data, begin, end, classes, limits[0], room.words, room.pieces)
        if asked[0]:
            _counted(found, room.words, stop_words, out[row])
        if asked[1]:
            _repeated(data, found, room, row * _MARKS + 1, out[row, _REPEATED:_NGRAMS])
        if asked[2]:
            grams = out[row, _NGRAMS:_CLEANED]
            repeated_ngrams(room.words, found.words, room.grams, room.table, row * _MARKS + 3, grams)
            for place in range(len(grams)):
                grams[place] /= found.characters
        if asked[3]:
            page = c4_page(data, begin, end, classes, limits[1], limits[2], room.line)
            out[row, _CLEANED] = page.lines
            out[row, _CLEANED + 1] = page.sentences
            out[row, _CLEANED + 2] = page.lorem_ipsum
            out[row, _CLEANED + 3] = page.curly_bracket


@compiled
def _counted(found: Found, words: Words, stop_words: UInt64Array, out: Float64Array) -> None:
    wordlike = letters = alphabetic = 0
    seen = likely = np.uint64(0)
    for stop_word in stop_words:
        likely |= np.uint64(1) << (stop_word & np.uint64(63))
    for word in range(found.words):
        kind = words.classes[word]
        if kind & WORDLIKE:
            wordlike += 1
            letters += words.characters[word]
        alphabetic += (kind & LETTER) != 0
        if not likely >> (words.hashes[word] & np.uint64(63)) & np.uint64(1):
            continue
        for place in range(len(stop_words)):
            if words.hashes[word] == stop_words[place]:
                seen |= np.uint64(1) << np.uint64(place)
    different = 0
    while seen:
        different += 1
        seen &= seen - np.uint64(1)
    out[0] = found.characters
    out[1] = found.words
    out[2] = wordlike
    out[3] = letters / max(wordlike, 1)
    out[4] = found.hash_signs / max(found.words, 1)
    out[5] = found.ellipses / max(found.words, 1)
    out[6] = alphabetic / max(found.words, 1)
    out[7] = different
    out[8] = found.lines
    out[9] = found.bullet_lines / max(found.lines, 1)
    out[10] = found.ellipsis_lines / max(found.lines, 1)
    out[11] = found.full_pieces
    out[12] = found.terminal_pieces / max(found.full_pieces, 1)
    out[13] = found.short_pieces / max(found.full_pieces, 1)
    out[14] = (found.pieces - 1) / max(found.words, 1)


@compiled
def _repeated(data: Bytes, found: Found, room: Room, mark: int, out: Float64Array) -> None:
    characters = found.characters
    lines, full = duplicate_lines(room.pieces, found, room.table, mark)
    paragraphs = duplicate_paragraphs(data, room.pieces, found, room.table, mark + 1)
    out[0] = lines.repeated / lines.pieces
    out[1] = lines.characters / characters
    out[2] = paragraphs.repeated / paragraphs.pieces
    out[3] = paragraphs.characters / characters
    out[4] = full / max(characters - (found.pieces - 1), 1)
