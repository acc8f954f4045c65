"""Rules over statistics of a text, and what the first rule that a text fails is."""

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from evenkeel.infra.dtypes import Float64Array

PASSES, UNKNOWN = 0, -1


class Rule(NamedTuple):
    """A text fails if the statistic is less (`<`) or greater (`>`) than the bound."""

    statistic: str
    fails: Literal["<", ">"]
    bound: float

    def __str__(self) -> str:
        return f"{self.statistic} {self.fails} {self.bound:g}"


def rules_of(*rules: tuple[str, Literal["<", ">"], float | None]) -> list[Rule]:
    """Return rules without those whose bound is None."""
    return [Rule(statistic, fails, bound) for statistic, fails, bound in rules if bound is not None]


def first_failed(rules: Sequence[Rule], columns: Mapping[str, Float64Array]) -> npt.NDArray[np.int8]:
    """Return for each text the number, from 1, of the first rule that it fails, (n,) int8.

    PASSES (0) where it fails none, UNKNOWN (-1) where the text is null.
    """
    rows = len(next(iter(columns.values())))
    failed = np.full(rows, PASSES, np.int8)
    for number, rule in reversed(list(enumerate(rules, 1))):
        values = columns[rule.statistic]
        failed[values < rule.bound if rule.fails == "<" else values > rule.bound] = number
        failed[np.isnan(values)] = UNKNOWN
    return failed
