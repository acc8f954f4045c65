"""Evaluate expectations of Great Expectations on frames of rows; importing this imports the library (seconds)."""

import logging
import threading
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import great_expectations as gx
import pandas as pd
from great_expectations.core.expectation_suite import ExpectationSuite
from great_expectations.data_context.types.base import ProgressBarsConfig
from great_expectations.exceptions import GreatExpectationsError
from great_expectations.expectations.expectation import (
    ColumnMapExpectation,
    ColumnPairMapExpectation,
    MulticolumnMapExpectation,
)
from great_expectations.expectations.registry import get_expectation_impl

from evenkeel.expectations.concerns.built_in import BuiltIn

MOST_ROWS = 20
ROW_ID = "ek_row_id"
TOGETHER = (
    "expect_column_values_to_be_unique",
    "expect_compound_columns_to_be_unique",
    "expect_column_values_to_be_increasing",
    "expect_column_values_to_be_decreasing",
    "expect_column_value_z_scores_to_be_less_than",
    "expect_column_values_to_not_be_outliers",
)
_ONE_AT_A_TIME = threading.Lock()  # the library has one context for a process


class Checked(NamedTuple):
    """What was found in some rows. by_row: whether rows were counted, else `observed` is one value of all together.

    rows: ids of the first rows that are not as expected, with what they hold.
    """

    success: bool
    by_row: bool = False
    elements: int = 0
    missing: int = 0
    unexpected: int = 0
    rows: tuple[tuple[int, str], ...] = ()
    observed: str = ""
    error: str = ""

    def add(self, other: "Checked") -> "Checked":
        """Return what was found in both."""
        return Checked(
            self.success and other.success,
            self.by_row or other.by_row,
            self.elements + other.elements,
            self.missing + other.missing,
            self.unexpected + other.unexpected,
            tuple(sorted(self.rows + other.rows)[:MOST_ROWS]),
            self.observed or other.observed,
            self.error or other.error,
        )


def looks_at_rows(name: str) -> bool:
    """Tell whether an expectation looks at each row by itself, so that blocks can be evaluated one by one."""
    made = get_expectation_impl(name)
    by_row = issubclass(made, (ColumnMapExpectation, ColumnPairMapExpectation, MulticolumnMapExpectation))
    return by_row and name not in TOGETHER


def complaint(one: BuiltIn) -> str:
    """Return what the library says against the parameters of an expectation, "" where it takes them."""
    try:
        get_expectation_impl(one.type)(**one.kwargs)
    except Exception as error:  # pydantic's first version, and the library's own
        return " ".join(str(error).split())
    return ""


def check_frame(frame: pd.DataFrame, expectations: Sequence[BuiltIn]) -> list[Checked]:
    """Return what each expectation finds in some rows, in order. frame: their columns, and `ek_row_id`."""
    with _ONE_AT_A_TIME:
        for name in ("great_expectations", "great_expectations.data_context.types.base"):
            logging.getLogger(name).setLevel(logging.ERROR)
        context = gx.get_context(mode="ephemeral")
        context.variables.progress_bars = ProgressBarsConfig(globally=False)
        whole = context.data_sources.add_pandas("rows").add_dataframe_asset("rows")
        batch = whole.add_batch_definition_whole_dataframe("rows").get_batch({"dataframe": frame})
        wanted = [get_expectation_impl(one.type)(**one.kwargs, meta={"n": n}) for n, one in enumerate(expectations)]
        form = {"result_format": "COMPLETE", "unexpected_index_column_names": [ROW_ID]}
        try:
            results = batch.validate(ExpectationSuite(name="rows", expectations=wanted), result_format=form).results
        except GreatExpectationsError as error:
            return [Checked(False, error=str(error)) for _ in expectations]
    missing = Checked(False, error="it was not evaluated, which counts as failed")
    found = {
        int(one.expectation_config.meta["n"]): _checked(one.success, one.result, one.exception_info) for one in results
    }
    return [found.get(number, missing) for number in range(len(expectations))]


def _checked(success: object, result: Mapping[str, object], raised: object) -> Checked:
    if error := _raised(raised):
        return Checked(False, error=error)
    if "element_count" not in result:
        return Checked(bool(success), observed=_shown(result.get("observed_value", "")))
    named = result.get("unexpected_index_list")
    rows = [one for one in named if isinstance(one, Mapping)] if isinstance(named, list) else []
    held = [(int(one[ROW_ID]), _held(one)) for one in rows if ROW_ID in one]
    counts = [result.get(name) for name in ("element_count", "missing_count", "unexpected_count")]
    elements, missing, unexpected = (int(one) if isinstance(one, int) else 0 for one in counts)
    return Checked(bool(success), True, elements, missing, unexpected, tuple(sorted(held)[:MOST_ROWS]))


def _held(row: Mapping[str, object]) -> str:
    return "; ".join(f"{name} = {_shown(value)}" for name, value in row.items() if name != ROW_ID)


def _shown(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else "null" if value is None else str(value)


def _raised(info: object) -> str:
    """Return the message of what was raised, of one record or of one for each metric, "" where nothing was."""
    if not isinstance(info, Mapping):
        return ""
    records = [info] if "raised_exception" in info else [one for one in info.values() if isinstance(one, Mapping)]
    return next((str(one.get("exception_message")) for one in records if one.get("raised_exception")), "")
