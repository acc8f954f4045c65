"""Numbers and foreign text as people read them: shares as percentages, control characters replaced."""

import re

CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def percent(value: float) -> str:
    """Return a share as a percentage with two significant digits: 0.1234 -> 12 %, 0.0042 -> 0.42 %.

    What is not quite all never reads as all: 0.9977 -> 99.8 %. The space before the sign does not break.
    """
    if value != value:
        return "not a number"
    number = f"{value * 100:.{_digits(value)}f}"
    return f"{number.rstrip('0').rstrip('.') if '.' in number else number}\u00a0%"


def percents(*values: float) -> list[str]:
    """Return shares that are read beside one another, with equally many digits: 0.67 %, 0.20 %."""
    digits = max((_digits(value) for value in values if value == value), default=0)
    return [f"{value * 100:.{digits}f}\u00a0%" if value == value else "not a number" for value in values]


def _digits(value: float) -> int:
    """Return how many digits behind the point a percentage needs."""
    magnitude = abs(value * 100)
    if 99 < magnitude < 100:
        return 1 if magnitude < 99.95 else 2 if magnitude < 99.995 else 4
    return 0 if magnitude >= 9.95 or magnitude == 0 else 1 if magnitude >= 0.995 else 2 if magnitude >= 0.0995 else 3


def printable(words: str) -> str:
    """Return text with control characters, terminal escapes and direction overrides replaced."""
    return CONTROL.sub("�", words)
