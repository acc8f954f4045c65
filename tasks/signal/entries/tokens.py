"""Cut texts into tokens for matching: words, and every other character by itself.

A word is a run of letters, digits, marks and underscores. A letter of a script that puts no blanks between words
(Chinese, Japanese, Thai, ...) is a word of its own. White space is no token, but a token knows whether it follows some.
"""

import unicodedata
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from evenkeel.infra.compiled import compiled, inlined
from evenkeel.infra.dtypes import UInt64Array
from evenkeel.tasks.embed.words import mix

Bytes = npt.NDArray[np.uint8]

OTHER, WORD, SPACE, ALONE = 0, 1, 2, 3
AFTER_BLANK = 4  # added to the kind of a token that white space stands before
_ALONE = ((0x0E00, 0x0EFF), (0x1780, 0x17FF), (0x2E80, 0x9FFF), (0xF900, 0xFAFF), (0x20000, 0x3FFFF))


@lru_cache(maxsize=1)
def character_classes() -> Bytes:
    """Return the class of every code point, (0x110000,) uint8: OTHER, WORD, SPACE or ALONE."""
    classes = np.zeros(0x110000, np.uint8)
    for point in range(0x32400):  # none is assigned beyond but the marks, tags and private characters
        letter = chr(point)
        if letter.isspace():
            classes[point] = SPACE
        elif letter.isalnum() or letter == "_" or unicodedata.category(letter)[0] == "M":
            classes[point] = WORD
    for first, last in _ALONE:
        part = classes[first : last + 1]
        part[part == WORD] = ALONE
    classes[0xE0100:0xE01F0] = WORD  # variation selectors
    return classes


@inlined
def _decode(data: Bytes, at: int, end: int) -> tuple[np.int64, int]:
    """Return the code point that begins at `at` and its bytes; (0, 1) for a byte that begins none."""
    lead = data[at]
    if lead < 0x80:
        return np.int64(lead), 1
    width = 2 if lead < 0xE0 else (3 if lead < 0xF0 else 4)
    if lead < 0xC0 or at + width > end:
        return np.int64(0), 1
    point = np.int64(lead & (0xFF >> (width + 1)))
    for place in range(at + 1, at + width):
        point = point << 6 | np.int64(data[place] & 0x3F)
    return point & 0x1FFFFF, width


@compiled
def cut(data: Bytes, start: int, end: int, classes: Bytes, hashes: UInt64Array, kinds: Bytes) -> int:
    """Write hash and kind of every token of one text, and return how many there are.

    data: UTF-8 in lower case but for ASCII letters, whose case is folded here. hashes, kinds: room for one a byte.
    """
    used, at = 0, start
    blank = np.uint8(0)
    state, inside = np.uint64(0xCBF29CE484222325), False
    while at < end:
        point, width = _decode(data, at, end)
        kind = classes[point] if point < len(classes) else np.uint8(OTHER)
        if inside and kind != WORD:
            hashes[used] = mix(state)
            used += 1
            state, inside = np.uint64(0xCBF29CE484222325), False
        if kind == SPACE:
            blank = np.uint8(AFTER_BLANK)
        else:
            if not inside:
                kinds[used] = kind | blank
                blank = np.uint8(0)
            for place in range(at, at + width):
                byte = data[place]
                if 0x41 <= byte <= 0x5A:
                    byte |= np.uint8(0x20)
                state = (state ^ np.uint64(byte)) * np.uint64(0x100000001B3)
            inside = kind == WORD
            if not inside:
                hashes[used] = mix(state)
                used += 1
                state = np.uint64(0xCBF29CE484222325)
        at += width
    if inside:
        hashes[used] = mix(state)
        used += 1
    return used
