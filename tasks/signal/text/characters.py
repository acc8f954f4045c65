"""The class of every Unicode character, as one byte in a table, and reading characters from UTF-8.

White space, line breaks, letters and digits are those of Python's `str.split`, `str.splitlines`, `str.isalpha` and
`\\d`. A symbol is one of the punctuation marks and controls that CCNet strips from words (Wenzek et al. 2020, arXiv
1911.00359). Terminal punctuation is Unicode's property Sentence_Terminal as of version 15, as FineWeb reads it.
"""

import sys
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from evenkeel.infra.compiled import compiled

Bytes = npt.NDArray[np.uint8]
Classes = npt.NDArray[np.uint8]

WHITE, BREAK, LETTER, WORDLIKE, TERMINAL, DIGIT = 1, 2, 4, 8, 16, 32

_BREAKS = "A-D 1C-1E 85 2028 2029"
_SYMBOLS = """
0-8 B-1F 21-2F 3A-40 5B-60 7B-9F AB B4 BB 2013-2014 2019 201C-201E 2026 2236 2501 25BA 3001-3002 3008-300D 3010-3011
FF01 FF05 FF08-FF09 FF0C FF0E FF11 FF1A-FF1B FF1F FF5E
"""
_TERMINAL = """
21 2E 3F 589 61D-61F 6D4 700-702 7F9 837 839 83D-83E 964-965 104A-104B 1362 1367-1368 166E 1735-1736 17D4-17D6
17D9-17DA 1803 1809 1944-1945 1AA8-1AAB 1B5A-1B5B 1B5E-1B5F 1B7D-1B7E 1C3B-1C3C 1C7E-1C7F 203C-203D 2047-2049 2E2E
2E3C 2E53-2E54 3002 A4FF A60E-A60F A6F3 A6F7 A876-A877 A8CE-A8CF A92F A9C8-A9C9 AA5D-AA5F AAF0-AAF1 ABEB FE52
FE56-FE57 FF01 FF0E FF1F FF61 10A56-10A57 10F55-10F59 10F86-10F89 11047-11048 110BE-110C1 11141-11143 111C5-111C6
111CD 111DE-111DF 11238-11239 1123B-1123C 112A9 1144B-1144C 115C2-115C3 115C9-115D7 11641-11642 1173C-1173E 11944
11946 11A42-11A43 11A9B-11A9C 11C41-11C42 11EF7-11EF8 11F43-11F44 16A6E-16A6F 16AF5 16B37-16B38 16B44 16E98 1BC9F
1DA88
"""
_REPLACEMENT = 0xFFFD


@lru_cache(maxsize=1)
def character_classes() -> Classes:
    """Return the class of every code point, (0x110000,) uint8: bits WHITE, BREAK, LETTER, WORDLIKE, TERMINAL, DIGIT.

    A character is WORDLIKE if it is no symbol. It is no symbol either if it ends sentences.
    """
    everything = "".join(map(chr, range(sys.maxunicode + 1)))
    count = len(everything)
    classes = np.zeros(count, np.uint8)
    tests = ((WHITE, str.isspace), (LETTER, str.isalpha), (DIGIT, str.isdecimal))
    for bit, test in tests:
        classes[np.fromiter(map(test, everything), np.bool_, count)] |= np.uint8(bit)
    classes |= np.uint8(WORDLIKE)
    for first, last in [*_ranges(_SYMBOLS), *_ranges(_TERMINAL)]:
        classes[first : last + 1] &= np.uint8(0xFF ^ WORDLIKE)
    for bit, listed in ((BREAK, _BREAKS), (TERMINAL, _TERMINAL)):
        for first, last in _ranges(listed):
            classes[first : last + 1] |= np.uint8(bit)
    return classes


@compiled
def character_at(data: Bytes, at: int, end: int) -> tuple[int, int]:
    """Return the code point at `at` and its bytes; what is no UTF-8 is U+FFFD and never passes `end`."""
    lead: int = data[at] & 0x7FFF  # a signed number
    if lead < 0x80:
        return lead, 1
    if lead < 0xC2 or lead > 0xF4:
        return _REPLACEMENT, 1
    width = 2 if lead < 0xE0 else (3 if lead < 0xF0 else 4)
    if at + width > end:
        return _REPLACEMENT, end - at
    point = lead & (0x7F >> width)
    for place in range(at + 1, at + width):
        point = point << 6 | data[place] & 0x3F
    return (point if point < 0x110000 else _REPLACEMENT), width


def _ranges(listed: str) -> list[tuple[int, int]]:
    """Read code points and ranges of them in hexadecimal."""
    parts = (item.split("-") for item in listed.split())
    return [(int(part[0], 16), int(part[-1], 16)) for part in parts]
