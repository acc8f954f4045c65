"""Expectations of Great Expectations itself, by their own names, over the columns of the rows."""

import difflib
import json
import math
from collections.abc import Mapping
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, JsonValue, model_validator

from evenkeel.expectations.concerns.properties import VACUOUS
from evenkeel.expectations.expectation import Expectation, Measurement, NotApplicable, Offender
from evenkeel.expectations.wording import percent

if TYPE_CHECKING:
    import pandas as pd

PREFIX = "expect_"
OF_COLUMNS = ("column", "column_A", "column_B", "column_list")
UNSUPPORTED = ("expect_query_results_to_match_comparison", "expect_table_row_count_to_equal_other_table")
ABOUT_NAMES = ("expect_column_to_exist", "expect_table_")


class BuiltIn(Expectation):
    """An expectation of Great Expectations holds for the columns of the version's rows.

    In a recipe it is written by its own name: `{expect: expect_column_values_to_match_regex, column: text, regex: ..}`,
    with `mostly` and all other parameters that it takes. What looks at each row by itself is evaluated on all rows of
    the version, block by block on the workers; what needs the rows together, such as a median, on a sample. The result
    says which. The value is the share of rows that are as expected; rows that are not are named.
    """

    concern: ClassVar[str] = "columns"
    table: ClassVar[str] = "built_in"

    expect: Literal["great_expectations"] = "great_expectations"
    type: str = Field(pattern=rf"^{PREFIX}[a-z_0-9A-Z]+$", description="Its name: expect_column_values_to_match_regex.")
    kwargs: dict[str, JsonValue] = Field(default_factory=dict, description="Its parameters: column, regex, mostly, ..")

    @model_validator(mode="after")
    def _is_one_of_theirs(self) -> "BuiltIn":
        if self.type not in built_in_names():
            close = difflib.get_close_matches(self.type, built_in_names(), n=1)
            remedy = f"did you mean {close[0]}?" if close else "see its gallery for their names"
            raise ValueError(f"Great Expectations has no {self.type!r} that can be used here; {remedy}")
        return self

    @property
    def key(self) -> str:
        """What tells the expectation from others."""
        return f"{self.type} {json.dumps(self.kwargs, sort_keys=True)}"

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that it reads, () where it asks for names of columns or for a number of rows."""
        if self.type.startswith(ABOUT_NAMES):
            return ()
        given = [self.kwargs[name] for name in OF_COLUMNS if name in self.kwargs]
        named = [one for value in given for one in (value if isinstance(value, list) else [value])]
        return tuple(dict.fromkeys(str(one) for one in named))

    @property
    def label(self) -> str:
        return f"{self.type}({', '.join(self.columns)})"

    def sentence(self) -> str:
        words = self.type.removeprefix(PREFIX).replace("_", " ")
        given = ", ".join(f"{name} {_plain(value)}" for name, value in self.kwargs.items())
        return f"{words}: {given}" if given else words

    def holds(self, found: Measurement) -> bool:
        return found.value >= (found.limit if found.limit is not None else 1.0)

    def reason(self, found: Measurement) -> str:
        said = found.offenders[-1].why if found.offenders else ""
        return said if found.value == found.value else f"{VACUOUS}: {said}"

    def measure(self, table: "pd.DataFrame") -> Measurement:
        """Return the share of rows that are as expected. Raises RuntimeError with what the library raised."""
        rows = table[table["key"] == self.key] if len(table) else table
        if rows.empty:
            raise NotApplicable("the rows of the version were not read for it")
        row = rows.iloc[0]
        if row["error"]:
            raise RuntimeError(str(row["error"]))
        where, counted = str(row["where"]), int(row["elements"]) - int(row["missing"])
        offenders = [Offender(**one) for one in row["unexpected_rows"]]
        if not row["by_row"]:
            why = f"{row['observed']}, {where}" if row["observed"] else where
            offenders.append(Offender(scope="column", name=", ".join(self.columns) or "rows", why=why))
            return Measurement(1.0 if row["success"] else 0.0, offenders=offenders)
        share = 1 - int(row["unexpected"]) / counted if counted else math.nan
        why = f"{percent(share)} as expected, {counted:,} rows with a value, {where}" if counted else where
        offenders.append(Offender(scope="column", name=", ".join(self.columns), why=why))
        mostly = self.kwargs.get("mostly", 1.0)
        limit = float(mostly) if isinstance(mostly, int | float) else 1.0
        return Measurement(share, limit=limit, offenders=offenders)


def by_its_name(document: object) -> object:
    """Return an expectation of theirs, written by its own name, as one of ours; anything else as it is."""
    if not isinstance(document, Mapping) or not str(document.get("expect", "")).startswith(PREFIX):
        return document
    ours = {name: document[name] for name in ("severity",) if name in document}
    given = {name: value for name, value in document.items() if name not in ("expect", "severity")}
    return {"expect": "great_expectations", "type": document["expect"], "kwargs": given, **ours}


def from_suite(document: object) -> list[dict[str, object]]:
    """Return the expectations of a suite of Great Expectations, as its JSON file holds them. Raises ValueError.

    A severity of theirs is kept: `warning` and `info` warn, `critical` blocks.
    """
    listed = document.get("expectations") if isinstance(document, Mapping) else None
    if not isinstance(listed, list):
        raise ValueError("the file holds no list `expectations`, as a suite of Great Expectations does")
    found: list[dict[str, object]] = []
    for one in listed:
        name = one.get("type", one.get("expectation_type")) if isinstance(one, Mapping) else None
        if not isinstance(name, str):
            raise ValueError(f"an expectation without a type: {one!r}")
        kwargs = {key: value for key, value in one.get("kwargs", {}).items() if key != "batch_id" and value is not None}
        severity = "warn" if one.get("severity") in ("warning", "info") else "block"
        found.append({"expect": "great_expectations", "type": name, "kwargs": kwargs, "severity": severity})
    return found


@lru_cache
def built_in_names() -> tuple[str, ...]:
    """Return the names of the expectations that the library brings, which is not imported for it."""
    found = find_spec("great_expectations")
    places = [] if found is None else list(found.submodule_search_locations or ())
    files = [path.stem for place in places for path in Path(place, "expectations", "core").glob(f"{PREFIX}*.py")]
    return tuple(sorted(name for name in files if name not in UNSUPPORTED))


def _plain(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)
