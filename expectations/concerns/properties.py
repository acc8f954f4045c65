"""Properties: what is stated of every row, every group or every cell of a grid holds in the version."""

import builtins
import json
import math
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, NamedTuple

from pydantic import Field

from evenkeel.expectations.expectation import (
    AtLeast,
    AtMost,
    ExampleRow,
    Expectation,
    Measurement,
    NotApplicable,
    Offender,
    Shown,
)
from evenkeel.expectations.wording import percent

if TYPE_CHECKING:
    import pandas as pd

VACUOUS = "vacuous: nothing was checked"


class Scanned(NamedTuple):
    """What the scan for a property found. unit: what was checked: row, group or cell."""

    unit: str
    checked: int
    broken: int
    counterexamples: list[Offender]


class StatedProperty(Expectation):
    """Base of expectations that are scanned for; `key` tells their row in the table `properties`."""

    concern: ClassVar[str] = "properties"
    table: ClassVar[str] = "properties"

    @property
    def key(self) -> str:
        """What tells the property from others, thresholds left out."""
        raise NotImplementedError

    def scanned(self, table: "pd.DataFrame") -> Scanned:
        """Return what the scan found. Raises NotApplicable where the property was not scanned for."""
        rows = table[table["key"] == self.key]
        if rows.empty:
            raise NotApplicable("it was not scanned for")
        row = rows.iloc[0]
        named = [
            Offender(**{**one, "examples": tuple(ExampleRow(text=text) for text in one["examples"])})
            for one in row["counterexamples"]
        ]
        return Scanned(str(row["unit"]), int(row["checked"]), int(row["broken"]), named)

    def vacuous(self, why: str) -> Measurement:
        """Return the measurement where nothing was checked: it never passes."""
        return Measurement(math.nan, offenders=[Offender(scope="property", name=self.key, why=why)])


class Holds(StatedProperty, AtMost):
    """A stated property holds for every row, or for every group of rows, of the version.

    The value is the number of rows or groups that break it. Where none is checked, because what stands before `implies`
    is true of none, the property is vacuous, and fails. The language is described above.
    """

    shown_as: ClassVar[Shown] = "rows"

    expect: Literal["holds"] = "holds"
    property: str = Field(
        min_length=1, description="What must hold: `length > 0 implies lang is not null`, `forall lang: count >= 20`."
    )
    at_most: float = Field(0, ge=0, description="Rows or groups that may break it.")

    @builtins.property
    def key(self) -> str:
        return self.property

    @builtins.property
    def label(self) -> str:
        return f"{self.expect}({self.property})"

    def sentence(self) -> str:
        allowed = f", with at most {self.at_most:,.0f} exceptions" if self.at_most else ""
        return f"it holds that {self.property}{allowed}"

    def reason(self, found: Measurement) -> str:
        return super().reason(found) if found.value == found.value else VACUOUS

    def measure(self, table: "pd.DataFrame") -> Measurement:
        found = self.scanned(table)
        if not found.checked:
            return self.vacuous(f"no {found.unit} of the version is one that the property is about")
        return Measurement(found.broken, offenders=found.counterexamples)


class Covers(StatedProperty, AtLeast):
    """The version has rows in nearly every cell of a grid over columns of numbers or texts.

    The bins of a column have equal width, between its least and its greatest value in the pool; edges or values can be
    given instead, as `x: [0, 1, 10]` or `lang: [de, en]`. A row without a value in a column is in no cell.
    """

    shown_as: ClassVar[Shown] = "share"

    expect: Literal["covers"] = "covers"
    over: dict[
        str,
        Annotated[int, Field(ge=1, le=100_000)]
        | Annotated[list[float], Field(min_length=2)]
        | Annotated[list[str], Field(min_length=1)],
    ] = Field(min_length=1, description="Bins, edges or values by column.")
    at_least: float = Field(1.0, ge=0, le=1, description="Smallest share of the cells that must be covered.")
    of: Literal["grid", "pool"] = Field("grid", description="grid: of all cells; pool: of those with rows in the pool.")
    min_rows: int = Field(1, ge=1, description="Rows that a cell needs to be covered.")

    def model_post_init(self, context: object) -> None:
        """Refuse edges that do not ascend. Raises ValueError."""
        for column, axis in self.over.items():
            if isinstance(axis, list) and len(set(axis)) < len(axis):
                raise ValueError(f"over.{column}: a value stands twice")
            if isinstance(axis, list) and not isinstance(axis[0], str) and sorted(axis) != axis:
                raise ValueError(f"over.{column}: edges ascend, as in [0, 1, 10]")

    @property
    def key(self) -> str:
        return f"covers {json.dumps(self.over, sort_keys=True)} {self.of} {self.min_rows}"

    @property
    def label(self) -> str:
        return f"{self.expect}({', '.join(self.over)})"

    def sentence(self) -> str:
        axes = " x ".join(f"{name} ({self._size(axis)})" for name, axis in self.over.items())
        rows = "a row" if self.min_rows == 1 else f"{self.min_rows:,} rows"
        cells = "cells" if self.of == "grid" else "cells that have rows in the pool"
        return f"at least {percent(self.at_least)} of the {cells} of the grid {axes} hold {rows}"

    def reason(self, found: Measurement) -> str:
        return super().reason(found) if found.value == found.value else VACUOUS

    def measure(self, table: "pd.DataFrame") -> Measurement:
        found = self.scanned(table)
        if not found.checked:
            return self.vacuous("no cell is asked for: the pool has no value to lay the grid over")
        return Measurement(1 - found.broken / found.checked, offenders=found.counterexamples)

    @staticmethod
    def _size(axis: int | list[float] | list[str]) -> int:
        if isinstance(axis, int):
            return axis
        return len(axis) if isinstance(axis[0], str) else len(axis) - 1
