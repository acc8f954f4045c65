"""How much of a text repeats itself: lines, paragraphs and word n-grams (Rae et al. 2021, arXiv 2112.11446, table A1).

An n-gram can come twice only if the two (n-1)-grams inside it do. So each length looks only at the places that the
length before left, and ordinary texts cost little beyond their word pairs. n-grams are compared word by word, as
numbers of words and not as hashes.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from evenkeel.infra.compiled import compiled
from evenkeel.infra.dtypes import Float64Array, Int32Array, Int64Array, UInt64Array
from evenkeel.tasks.signal.text.characters import Bytes
from evenkeel.tasks.signal.text.scan import FEED, Found, Pieces, Words, hash_piece, mix
from evenkeel.tasks.signal.text.statistics import DUPLICATE_NGRAMS

_FIRST_DUPLICATE, _LONGEST = DUPLICATE_NGRAMS[0], DUPLICATE_NGRAMS[-1]


class Table(NamedTuple):
    """A hash table that numbers keys, with linear probing. A slot is in use if its mark is that of the present use."""

    keys: UInt64Array
    numbers: Int32Array
    marks: Int64Array


class Grams(NamedTuple):
    """Room for the n-grams of one text.

    words, grams: the number of the word, and of the n-gram, that begins at a place. repeated: the greatest n of which
    the n-gram there comes twice. places: where the last length left n-grams that come twice. counts, firsts: how often
    an n-gram comes, and where first. ends: characters of the words up to a place.
    """

    words: Int32Array
    grams: Int32Array
    repeated: npt.NDArray[np.uint8]
    places: Int32Array
    counts: Int32Array
    firsts: Int32Array
    ends: Int64Array


class Duplicates(NamedTuple):
    """How many of some pieces there are, and how many, of how many characters, came before in the text."""

    pieces: int
    repeated: int
    characters: int


@compiled
def number_of(table: Table, mask: int, mark: int, key: np.uint64, fresh: int) -> int:
    """Return the number of a key in the use `mark` of a table; a new key gets the number `fresh`."""
    slot = np.int64(mix(key) & np.uint64(mask))
    while table.marks[slot] == mark:
        if table.keys[slot] == key:
            number: int = table.numbers[slot]
            return number
        slot = (slot + 1) & mask
    table.marks[slot], table.keys[slot], table.numbers[slot] = mark, key, fresh
    return fresh


@compiled
def mask_for(count: int) -> int:
    """Return a mask for a table in which `count` keys leave at least half of the slots free."""
    size = 16
    while size < 2 * count:
        size *= 2
    return size - 1


@compiled
def duplicate_lines(pieces: Pieces, found: Found, table: Table, mark: int) -> tuple[Duplicates, int]:
    """Count lines as `re.split("\\n+", text)` makes them, and the characters of duplicates that are not blank."""
    mask = mask_for(found.pieces)
    lines = repeated = characters = full = 0
    for piece in range(found.pieces):
        if pieces.characters[piece] == 0 and 0 < piece < found.pieces - 1:
            continue  # two line feeds together
        if number_of(table, mask, mark, pieces.hashes[piece], lines) < lines:
            repeated += 1
            characters += pieces.characters[piece]
            full += pieces.characters[piece] if pieces.words[piece] else 0
        lines += 1
    return Duplicates(lines, repeated, characters), full


@compiled
def duplicate_paragraphs(data: Bytes, pieces: Pieces, found: Found, table: Table, mark: int) -> Duplicates:
    """Count paragraphs as `re.split("\\n{2,}", text.strip())` makes them."""
    if found.first == found.last:
        return Duplicates(1, 0, 0)
    mask = mask_for(found.pieces)
    paragraphs = repeated = characters = 0
    state, length, parts = np.uint64(0), 0, 0
    for piece in range(found.first, found.last + 1):
        piece_hash, piece_characters = pieces.hashes[piece], pieces.characters[piece]
        if piece == found.first:
            stop = found.start
            while data[stop] != FEED:
                stop += 1
            piece_hash, piece_characters = hash_piece(data, found.start, stop)
        elif piece == found.last:
            start = found.end
            while data[start - 1] != FEED:
                start -= 1
            piece_hash, piece_characters = hash_piece(data, start, found.end)
        if piece_characters:
            state = mix(state + piece_hash)
            length += piece_characters + (parts > 0)
            parts += 1
        if parts and (piece_characters == 0 or piece == found.last):
            if number_of(table, mask, mark, state, paragraphs) < paragraphs:
                repeated += 1
                characters += length
            paragraphs += 1
            state, length, parts = np.uint64(0), 0, 0
    return Duplicates(paragraphs, repeated, characters)


@compiled
def repeated_ngrams(words: Words, count: int, grams: Grams, table: Table, mark: int, out: Float64Array) -> None:
    """Write the characters of the most frequent 2- to 4-grams and of the repeated 5- to 10-grams to out, (9,).

    The most frequent n-gram counts with the spaces between its words, as often as it comes; of several the first.
    Repeated n-grams are taken from left to right, do not overlap, and count without spaces. Uses the marks from `mark`
    to `mark` + 9.
    """
    left = _number_words(words, count, grams, table, mark)
    mask = mask_for(left)
    for n in range(2, _LONGEST + 1):
        out[n - 2] = 0
        if n < _FIRST_DUPLICATE and count >= n:
            out[n - 2] = grams.ends[n] + n - 1  # if no n-gram comes twice, the first is the most frequent
        if left == 0:
            continue
        fresh = _number_ngrams(n, count, left, grams, table, mask, mark + n - 1)
        best = 0
        for gram in range(fresh):
            if grams.counts[gram] > max(1, grams.counts[best]) or (gram == 0 and grams.counts[0] > 1):
                best = gram
        if n < _FIRST_DUPLICATE and fresh and grams.counts[best] > 1:
            first = grams.firsts[best]
            out[n - 2] = np.int64(grams.counts[best]) * (grams.ends[first + n] - grams.ends[first] + n - 1)
        left, characters = _keep_repeated(n, left, grams)
        if n >= _FIRST_DUPLICATE:
            out[n - 2] = characters


@compiled
def _number_words(words: Words, count: int, grams: Grams, table: Table, mark: int) -> int:
    """Number the words and make a place of each that comes twice. Return how many places there are."""
    mask, fresh = mask_for(count), 0
    grams.ends[0] = 0
    for place in range(count):
        grams.ends[place + 1] = grams.ends[place] + words.characters[place]
        word = number_of(table, mask, mark, words.hashes[place], fresh)
        if word == fresh:
            grams.counts[fresh] = 0
            fresh += 1
        grams.counts[word] += 1
        grams.words[place] = grams.grams[place] = word
    left = 0
    for place in range(count):
        comes_twice = grams.counts[grams.words[place]] > 1
        grams.repeated[place] = comes_twice
        if comes_twice:
            grams.places[left] = place
            left += 1
    return left


@compiled
def _number_ngrams(n: int, count: int, left: int, grams: Grams, table: Table, mask: int, mark: int) -> int:
    """Number and count the n-grams that may come twice, and return how many there are; the others get -1."""
    fresh = 0
    for index in range(left):
        place = grams.places[index]
        if place + n > count or grams.repeated[place + 1] < n - 1:
            grams.grams[place] = -1
            continue
        key = np.uint64(grams.grams[place]) << np.uint64(32) | np.uint64(grams.words[place + n - 1])
        gram = number_of(table, mask, mark, key, fresh)
        if gram == fresh:
            grams.counts[fresh], grams.firsts[fresh] = 0, place
            fresh += 1
        grams.counts[gram] += 1
        grams.grams[place] = gram
    return fresh


@compiled
def _keep_repeated(n: int, left: int, grams: Grams) -> tuple[int, int]:
    """Keep the places whose n-gram comes twice. Return how many, and the characters of repeats that do not overlap."""
    kept = characters = free = 0
    for index in range(left):
        place = grams.places[index]
        gram = grams.grams[place]
        if gram < 0 or abs(grams.counts[gram]) < 2:
            continue
        grams.places[kept], grams.repeated[place] = place, n
        kept += 1
        if place < free:
            continue
        if grams.counts[gram] < 0:
            characters += grams.ends[place + n] - grams.ends[place]
            free = place + n
        else:
            grams.counts[gram] = -grams.counts[gram]  # seen
    return kept, characters
