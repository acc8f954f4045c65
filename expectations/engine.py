"""Evaluate a suite of expectations over tables; an expectation that was not evaluated has failed.

Great Expectations 1.24 may drop an expectation whose class it cannot find, silently, and call the rest a success. So
every expectation carries its number, and one that was not evaluated, or raised, counts as failed.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from evenkeel.expectations.data_docs import write_data_docs
from evenkeel.expectations.expectation import Expectation
from evenkeel.expectations.result import Result

if TYPE_CHECKING:
    import pandas as pd


def evaluate(
    expectations: Sequence[Expectation],
    tables: Mapping[str, "pd.DataFrame"],
    site: Path | None = None,
    add_examples: Callable[[list[Result]], list[Result]] = list,
) -> list[Result]:
    """Return one result per expectation, in order; Data Docs are written to the folder `site`.

    add_examples: adds example rows to the results before the Data Docs are written.
    Raises UnknownScope where an expectation names something that the tables do not have: a suite that cannot be read as
    it was meant is never passed.
    """
    from evenkeel.expectations.great import find  # Great Expectations takes seconds to import

    findings = find(expectations, tables)
    results = add_examples([Result.of(one, findings.get(number)) for number, one in enumerate(expectations)])
    if site is not None:
        write_data_docs(results, site)
    return results
