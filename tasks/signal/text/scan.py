"""One pass over a text that finds its words and lines; the statistics are counted from these, not from bytes.

A word is what stands between white space, as in Gopher, C4 and FineWeb (`str.split`). Languages that put no spaces
between words give one word per run of text, so these statistics do not fit them. A *piece* is what stands between
line feeds (`str.split("\\n")`), a *line* what stands between line breaks of any kind (`str.splitlines`).
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from evenkeel.infra.compiled import compiled
from evenkeel.infra.dtypes import Int32Array, Int64Array, UInt64Array
from evenkeel.tasks.signal.text.characters import BREAK, TERMINAL, WHITE, WORDLIKE, Bytes, Classes, character_at

FEED, RETURN, STOP, HASH, HYPHEN = 0x0A, 0x0D, 0x2E, 0x23, 0x2D
BULLET, ELLIPSIS = 0x2022, 0x2026
_SEED, _PRIME, _PIECE_PRIME = 0xCBF29CE484222325, 0x100000001B3, 0x9E3779B97F4A7C15


class Words(NamedTuple):
    """The words of one text: their hashes, lengths in characters, and the classes of their characters, or-ed."""

    hashes: UInt64Array
    characters: Int32Array
    classes: npt.NDArray[np.uint8]


class Pieces(NamedTuple):
    """The pieces of one text: their hashes, their lengths in characters and in words."""

    hashes: UInt64Array
    characters: Int32Array
    words: Int32Array


class Found(NamedTuple):
    """What one pass counts.

    start, end: the bytes of the text without white space at its edges, both the same if it is blank. first, last: the
    pieces in which these stand.
    """

    characters: int
    words: int
    pieces: int
    start: int
    end: int
    first: int
    last: int
    lines: int
    bullet_lines: int
    ellipsis_lines: int
    hash_signs: int
    ellipses: int
    full_pieces: int
    terminal_pieces: int
    short_pieces: int


@compiled
def most_words(data: Bytes, offsets: Int64Array, rows: Int64Array) -> tuple[int, int]:
    """Return how many words and how many pieces one of these texts may have at most."""
    words = pieces = 0
    for row in rows:
        gaps = feeds = 0
        for at in range(offsets[row], offsets[row + 1]):
            byte = data[at]
            gaps += (byte <= 0x20) | (byte == 0xC2) | ((byte >= 0xE1) & (byte <= 0xE3))
            feeds += byte == FEED
        words, pieces = max(words, gaps + 1), max(pieces, feeds + 1)
    return words, pieces


@compiled
def scan(data: Bytes, begin: int, end: int, classes: Classes, short: int, words: Words, pieces: Pieces) -> Found:
    """Write the words and pieces of the text data[begin:end] and return what was counted.

    short: a piece of at most this many characters is short. words and pieces are long enough (`most_words`).
    """
    characters = n_words = n_pieces = lines = bullet_lines = ellipsis_lines = hash_signs = ellipses = 0
    full = terminal_pieces = short_pieces = 0
    start, stripped_end, first, last = begin, begin, 0, 0
    piece_state, piece_characters, piece_words = np.uint64(_SEED), 0, 0
    line_words, line_is_open, ends_in_ellipsis = 0, False, False
    after_return = False
    at = begin
    while at <= end:
        word_start, word_state, word_characters, word_classes = at, np.uint64(_SEED), 0, 0
        point, width, kind, last_kind, stops = -1, 1, WHITE, 0, 0
        while at < end:
            point, width = character_at(data, at, end)
            kind = classes[point] & 0x7FFF
            if kind & WHITE:
                break
            at += width
            word_state = (word_state ^ np.uint64(point)) * np.uint64(_PRIME)
            piece_state = (piece_state ^ np.uint64(point)) * np.uint64(_PIECE_PRIME)
            word_characters += 1
            word_classes |= kind
            last_kind = kind
            if kind & WORDLIKE:
                stops = 0
            else:
                hash_signs += point == HASH
                stops = stops + 1 if point == STOP else 0
                if stops == 3 or point == ELLIPSIS:
                    ellipses += 1
                    stops = 0
        if word_characters:
            words.hashes[n_words], words.characters[n_words] = mix(word_state), word_characters
            words.classes[n_words] = word_classes
            if n_words == 0:
                start, first = word_start, n_pieces
            if line_words == 0:
                bullet_lines += _starts_with_bullet(data, word_start, at)
            ends_in_ellipsis = _ends_in_ellipsis(data, word_start, at)
            stripped_end, last = at, n_pieces
            n_words, line_words, piece_words = n_words + 1, line_words + 1, piece_words + 1
            characters, piece_characters = characters + word_characters, piece_characters + word_characters
            line_is_open, after_return = True, False
        closes = at == end  # the end of the text closes what is open
        if closes:
            point, kind = -1, BREAK
        characters += not closes
        if not kind & BREAK:
            line_is_open = True
        else:
            if line_is_open or not (closes or (point == FEED and after_return)):
                lines += 1
                ellipsis_lines += ends_in_ellipsis
            line_words, line_is_open, ends_in_ellipsis = 0, False, False
        if closes or point == FEED:
            pieces.hashes[n_pieces], pieces.characters[n_pieces] = mix(piece_state), piece_characters
            pieces.words[n_pieces] = piece_words
            n_pieces += 1
            if piece_words:
                full += 1
                terminal_pieces += (last_kind & TERMINAL) != 0
                short_pieces += piece_characters <= short
            piece_state, piece_characters, piece_words = np.uint64(_SEED), 0, 0
        else:
            piece_state = (piece_state ^ np.uint64(point)) * np.uint64(_PIECE_PRIME)
            piece_characters += 1
        after_return = point == RETURN
        at += width
    return Found(
        characters,
        n_words,
        n_pieces,
        start,
        stripped_end,
        first,
        last,
        lines,
        bullet_lines,
        ellipsis_lines,
        hash_signs,
        ellipses,
        full,
        terminal_pieces,
        short_pieces,
    )


@compiled
def hash_piece(data: Bytes, at: int, end: int) -> tuple[np.uint64, int]:
    """Return the hash that `scan` gives a piece of these bytes, and its characters."""
    state, characters = np.uint64(_SEED), 0
    while at < end:
        point, width = character_at(data, at, end)
        state = (state ^ np.uint64(point)) * np.uint64(_PIECE_PRIME)
        characters += 1
        at += width
    return mix(state), characters


@compiled
def hash_word(data: Bytes, at: int, end: int) -> np.uint64:
    """Return the hash that `scan` gives a word of these bytes."""
    state = np.uint64(_SEED)
    while at < end:
        point, width = character_at(data, at, end)
        state = (state ^ np.uint64(point)) * np.uint64(_PRIME)
        at += width
    return mix(state)


@compiled
def mix(value: np.uint64) -> np.uint64:
    """Return a well-mixed 64-bit value."""
    value = (value ^ (value >> np.uint64(32))) * np.uint64(0xD6E8FEB86659FD93)
    return np.uint64(value ^ (value >> np.uint64(32)))


@compiled
def _starts_with_bullet(data: Bytes, at: int, end: int) -> bool:
    point, _ = character_at(data, at, end)
    return bool(point in (HYPHEN, BULLET))


@compiled
def _ends_in_ellipsis(data: Bytes, start: int, end: int) -> bool:
    if end - start < 3:
        return False
    a, b, c = data[end - 3], data[end - 2], data[end - 1]
    return bool((a == STOP and b == STOP and c == STOP) or (a == 0xE2 and b == 0x80 and c == 0xA6))
