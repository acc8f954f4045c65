"""How numbers and foreign text are written for people: shares as percentages, nothing that a terminal would obey."""

import re

CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def percent(value: float) -> str:
    """Return a share as a percentage with two significant digits: 0.1234 -> 12 %, 0.0042 -> 0.42 %.

    The space before the sign does not break.
    """
    if value != value:
        return "not a number"
    magnitude = abs(value * 100)
    digits = 0 if magnitude >= 9.95 or magnitude == 0 else 1 if magnitude >= 0.995 else 2 if magnitude >= 0.0995 else 3
    number = f"{value * 100:.{digits}f}"
    return f"{number.rstrip('0').rstrip('.') if '.' in number else number}\u00a0%"


def printable(words: str) -> str:
    """Return text with control characters, terminal escapes and direction overrides replaced."""
    return CONTROL.sub("�", words)
