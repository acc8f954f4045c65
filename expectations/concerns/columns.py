"""Columns: one determines another, tells rows apart, or holds no typing errors."""

from typing import TYPE_CHECKING, ClassVar, Literal, Self

from pydantic import Field, model_validator

from evenkeel.expectations.concerns.properties import VACUOUS, StatedProperty
from evenkeel.expectations.expectation import AtLeast, AtMost, Measurement, Shown
from evenkeel.expectations.wording import percent

if TYPE_CHECKING:
    import pandas as pd


class Dependency(StatedProperty, AtLeast):
    """Some columns determine another: rows that agree on the left agree on the right.

    The value is 1 - g3, the largest share of rows of which it holds without exception (Kivinen and Mannila 1995). Null
    is a value like others.
    """

    shown_as: ClassVar[Shown] = "share"

    expect: Literal["dependency"] = "dependency"
    left: list[str] = Field(min_length=1, description="Columns that determine.")
    right: str = Field(min_length=1, description="Column that is determined.")
    at_least: float = Field(1.0, ge=0, le=1, description="Smallest share of rows of which it holds.")

    @model_validator(mode="after")
    def _apart(self) -> Self:
        if self.right in self.left or len(set(self.left)) < len(self.left):
            raise ValueError(f"each column stands once in {', '.join(self.left)} -> {self.right}")
        return self

    @property
    def key(self) -> str:
        return f"{', '.join(self.left)} -> {self.right}"

    @property
    def label(self) -> str:
        return f"{self.expect}({self.key})"

    def sentence(self) -> str:
        rows = "all rows" if self.at_least == 1 else f"at least {percent(self.at_least)} of the rows"
        return f"the values of {' and '.join(self.left)} determine {self.right} for {rows}"

    def reason(self, found: Measurement) -> str:
        return super().reason(found) if found.value == found.value else VACUOUS

    def measure(self, table: "pd.DataFrame") -> Measurement:
        return _share_that_holds(self, table)


class Uniques(StatedProperty, AtLeast):
    """The values of some columns tell the rows apart: the share of rows that do not repeat those of an earlier one."""

    shown_as: ClassVar[Shown] = "share"

    expect: Literal["uniques"] = "uniques"
    columns: list[str] = Field(min_length=1, description="Columns whose values together are unique.")
    at_least: float = Field(1.0, ge=0, le=1, description="Smallest share of rows that repeat no other.")

    @property
    def key(self) -> str:
        return f"unique {', '.join(self.columns)}"

    @property
    def label(self) -> str:
        return f"{self.expect}({', '.join(self.columns)})"

    def sentence(self) -> str:
        share = (
            "no rows repeat" if self.at_least == 1 else f"at least {percent(self.at_least)} of the rows do not repeat"
        )
        return f"{share} the {' and '.join(self.columns)} of another"

    def reason(self, found: Measurement) -> str:
        return super().reason(found) if found.value == found.value else VACUOUS

    def measure(self, table: "pd.DataFrame") -> Measurement:
        return _share_that_holds(self, table)


class Typos(StatedProperty, AtMost):
    """Few rows hold a value that is one edit away from a far commoner one, and so a typing error most likely.

    An edit inserts, deletes or replaces one character. Values of fewer than four characters, and values that differ by
    digits alone, are not compared; a column with more than 200,000 different values is not checked.
    """

    shown_as: ClassVar[Shown] = "share"

    expect: Literal["typos"] = "typos"
    column: str = Field(min_length=1, description="Column of texts.")
    ratio: float = Field(20, ge=1, description="How many times the rows of a near-miss the commoner value has.")
    at_most: float = Field(0.0, ge=0, le=1, description="Largest share of rows with a near-miss.")

    @property
    def key(self) -> str:
        return f"near-misses of {self.column}, ratio {self.ratio:g}"

    @property
    def label(self) -> str:
        return f"{self.expect}({self.column})"

    def sentence(self) -> str:
        share = "no row holds" if not self.at_most else f"at most {percent(self.at_most)} of the rows hold"
        return f"{share} a {self.column} that is one edit away from one {self.ratio:g} times as common"

    def reason(self, found: Measurement) -> str:
        return super().reason(found) if found.value == found.value else VACUOUS

    def measure(self, table: "pd.DataFrame") -> Measurement:
        found = self.scanned(table)
        if not found.checked:
            return self.vacuous(f"{self.column} holds no texts, or more different ones than are compared")
        return Measurement(found.broken / found.checked, offenders=found.counterexamples)


def _share_that_holds(one: StatedProperty, table: "pd.DataFrame") -> Measurement:
    found = one.scanned(table)
    if not found.checked:
        return one.vacuous("the version has no rows")
    return Measurement(1 - found.broken / found.checked, offenders=found.counterexamples)
