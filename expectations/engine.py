"""Evaluate a suite of expectations over tables; an expectation that was not evaluated has failed.

Great Expectations 1.24 may drop an expectation whose class it cannot find, silently, and call the rest a success. So
every expectation carries its number, and one that was not evaluated, or raised, counts as failed.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from evenkeel.expectations.expectation import Expectation
from evenkeel.expectations.result import Result

if TYPE_CHECKING:
    import pandas as pd


def evaluate(
    expectations: Sequence[Expectation],
    tables: Mapping[str, "pd.DataFrame"],
) -> list[Result]:
    """Return one result per expectation, in order.

    Raises UnknownScope where an expectation names something that the tables do not have: a suite that cannot be read as
    it was meant is never passed.
    """
    from evenkeel.expectations.great import find  # Great Expectations takes seconds to import

    findings = find(expectations, tables)
    return [Result.of(one, findings.get(number)) for number, one in enumerate(expectations)]
