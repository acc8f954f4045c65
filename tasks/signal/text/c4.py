"""The rules by which C4 cleans pages, line by line (Raffel et al. 2020, JMLR 21:140, section 2.2, and its code).

A line counts if no word of it is too long, it ends in . ? ! " or ' but not in an ellipsis once citations such as [1]
are taken out, it has enough words, and it names neither JavaScript nor cookies and terms of use. A sentence ends at
marks . ? ! … with quotes and brackets that close after them, before white space or the end of the line.
"""

from typing import NamedTuple

import numpy as np

from evenkeel.infra.compiled import compiled
from evenkeel.infra.dtypes import Int64Array
from evenkeel.tasks.signal.text.characters import BREAK, DIGIT, WHITE, Bytes, Classes, character_at

PHRASES = (
    "lorem ipsum",
    "javascript",
    "terms of use",
    "privacy policy",
    "cookie policy",
    "uses cookies",
    "use of cookies",
    "use cookies",
)
_LOREM, _JAVASCRIPT, _OTHERS = 1, 2, 0xFC
_TEXT = np.frombuffer("".join(PHRASES).encode(), np.uint8).copy()
_STARTS = np.cumsum([0, *map(len, PHRASES)])
_CITATIONS = tuple(np.frombuffer(text, np.uint8).copy() for text in (b"[edit]", b"[citation needed]"))
_EDIT, _NEEDED = _CITATIONS
_KELVIN = 0x212A  # the one character beyond ASCII whose lower case is a letter of ASCII
_CLOSING = (0x22, 0x27, 0x29, 0x5D, 0x201D, 0x2019)


def _phrases_with(place: int) -> Int64Array:
    """Return for each byte the phrases that have it at a place, one bit each, (256,) int64."""
    found = np.zeros(256, np.int64)
    for phrase, text in enumerate(PHRASES):
        found[ord(text[place])] |= 1 << phrase
    return found


_FIRST_LETTERS, _SECOND_LETTERS = _phrases_with(0), _phrases_with(1)


class Page(NamedTuple):
    """What C4 keeps of a text, and whether a line that it reads has the words lorem ipsum or a curly bracket."""

    sentences: int
    lines: int
    lorem_ipsum: bool
    curly_bracket: bool


@compiled
def c4_page(
    data: Bytes, begin: int, end: int, classes: Classes, min_words: int, max_word_length: int, line: Bytes
) -> Page:
    """Return what C4 keeps of the text data[begin:end]. line: room for the bytes of a line."""
    sentences = lines = 0
    lorem_ipsum = curly_bracket = False
    at = begin
    while at < end:
        words = length = longest = 0
        first, last, breaks = at, at, False
        while at < end and not breaks:
            point, width = character_at(data, at, end)
            kind = classes[point]
            at += width
            if kind & WHITE:
                length = 0
                breaks = (kind & BREAK) != 0
            else:
                if length == 0:
                    words += 1
                    first = first if words > 1 else at - width
                length += 1
                longest = max(longest, length)
                last = at
        if words < max(min_words, 1) or longest > max_word_length:
            continue
        used = _without_citations(data, first, last, classes, line)
        if not _ends_well(line, used):
            continue
        phrases = _phrases_in(line, used)
        if phrases & _LOREM:
            lorem_ipsum = True
        elif phrases & _JAVASCRIPT:
            continue
        elif _has_curly_bracket(line, used):
            curly_bracket = True
        elif not phrases & _OTHERS:
            lines += 1
            sentences += _sentences(line, used, classes)
    return Page(sentences, lines, lorem_ipsum, curly_bracket)


@compiled
def _without_citations(data: Bytes, at: int, end: int, classes: Classes, line: Bytes) -> int:
    """Copy a line in lower case without citations; return its bytes."""
    used = 0
    while at < end:
        byte, width = data[at] & 0x7FFF, 1
        if byte == 0x5B:
            after = _after_citation(data, at, end, classes)
            if after > at:
                at = after
                continue
        if byte == 0xE2 and character_at(data, at, end)[0] == _KELVIN:
            byte, width = 0x6B, 3
        elif 0x41 <= byte <= 0x5A:
            byte += 0x20
        line[used] = byte
        used += 1
        at += width
    return used


@compiled
def _after_citation(data: Bytes, at: int, end: int, classes: Classes) -> int:
    """Return where the citation at `at` ends: [12], [], [edit] or [citation needed]; `at` if it is none."""
    place = at + 1
    while place < end:
        point, width = character_at(data, place, end)
        if not classes[point] & DIGIT:
            break
        place += width
    if place < end and data[place] == 0x5D:
        return place + 1
    if _starts_with(data, at, end, _EDIT, 0, len(_EDIT)):
        return at + len(_EDIT)
    if _starts_with(data, at, end, _NEEDED, 0, len(_NEEDED)):
        return at + len(_NEEDED)
    return at


@compiled
def _ends_well(line: Bytes, used: int) -> bool:
    """Return whether a line ends in . ? ! " or ' but not in three stops."""
    if used == 0:
        return False
    last = line[used - 1]
    if last == 0x2E:
        return bool(used < 3 or line[used - 2] != 0x2E or line[used - 3] != 0x2E)
    return bool(last == 0x3F or last == 0x21 or last == 0x22 or last == 0x27)


@compiled
def _phrases_in(line: Bytes, used: int) -> int:
    """Return which phrases a line has, one bit each."""
    found = 0
    for at in range(used - 1):
        likely = _FIRST_LETTERS[line[at]] & _SECOND_LETTERS[line[at + 1]]
        for phrase in range(len(_STARTS) - 1 if likely else 0):
            if likely >> phrase & 1 and _starts_with(line, at, used, _TEXT, _STARTS[phrase], _STARTS[phrase + 1]):
                found |= 1 << phrase
    return found


@compiled
def _has_curly_bracket(line: Bytes, used: int) -> bool:
    for at in range(used):  # noqa: SIM110
        if line[at] == 0x7B:
            return True
    return False


@compiled
def _sentences(line: Bytes, used: int, classes: Classes) -> int:
    """Return how many sentences a line has; what stands after the last end is one too."""
    sentences, at = 0, 0
    inside = ended = False
    while at < used:
        point, width = character_at(line, at, used)
        at += width
        if classes[point] & WHITE:
            sentences += ended
            inside, ended = inside and not ended, False
        elif point == 0x2E or point == 0x3F or point == 0x21 or point == 0x2026:
            inside = ended = True
        elif not (ended and point in _CLOSING):
            inside, ended = True, False
    return sentences + inside


@compiled
def _starts_with(data: Bytes, at: int, end: int, text: Bytes, start: int, stop: int) -> bool:
    if at + stop - start > end:
        return False
    for place in range(start, stop):  # noqa: SIM110
        if data[at + place - start] != text[place]:
            return False
    return True
