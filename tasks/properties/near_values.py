"""Values that are one edit away from a far commoner one: typing errors, most likely (as Desbordante mines them).

Two values within one insertion, deletion or replacement of a character share a text that is left when one character is
deleted from each, or from the longer: pairs are found by these, without comparing all values.
"""

from collections import defaultdict
from collections.abc import Mapping
from typing import NamedTuple

MIN_LENGTH = 4


class NearMiss(NamedTuple):
    """A value and the commoner one that it was likely meant to be."""

    value: str
    rows: int
    near: str
    near_rows: int


def near_misses(counts: Mapping[str, int], ratio: float) -> list[NearMiss]:
    """Return the values that are one edit away from a value with at least `ratio` times their rows, by their rows.

    Values of fewer than four characters, and pairs that differ by digits alone, such as `part-1` and `part-2`, are no
    misses. Of several commoner values the commonest is named.
    """
    by_deletion: dict[str, list[str]] = defaultdict(list)
    for value in counts:
        if len(value) >= MIN_LENGTH:
            for text in {value, *(value[:at] + value[at + 1 :] for at in range(len(value)))}:
                by_deletion[text].append(value)
    best: dict[str, str] = {}
    for values in by_deletion.values():
        if len(values) < 2:
            continue
        top = sorted(values, key=lambda value: (-counts[value], value))
        for value in values:
            for other in top:
                if counts[other] < ratio * counts[value]:
                    break
                if value in best and (-counts[best[value]], best[value]) <= (-counts[other], other):
                    break
                if other != value and is_one_edit(value, other) and not _numbered_alike(value, other):
                    best[value] = other
                    break
    found = [NearMiss(value, counts[value], near, counts[near]) for value, near in best.items()]
    return sorted(found, key=lambda one: (-one.rows, one.value))


def is_one_edit(one: str, other: str) -> bool:
    """Tell whether a text becomes the other by inserting, deleting or replacing one character."""
    if len(one) > len(other):
        one, other = other, one
    if len(other) - len(one) > 1 or one == other:
        return False
    at = next((place for place, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), len(one))
    return one[at + (len(one) == len(other)) :] == other[at + 1 :]


def _numbered_alike(one: str, other: str) -> bool:
    return _without_digits(one) == _without_digits(other)


def _without_digits(text: str) -> str:
    return "".join(character for character in text if not character.isdigit())
