"""The base of all expectations: a few bounded parameters, one sentence, and a measurement of one small table.

An expectation is a pydantic model, so a recipe can hold it, and a threshold out of range is refused before anything
runs. `expectations/great.py` makes a metric and an expectation of Great Expectations from each; this module does not
import that library.

A table is a pandas frame. The tables are:

- `shares`: one row per cluster of a level, per value of a group column, and per cell of a strategy that has cells of
  its own. `scope` ("level-1", "group.language", "cells"), `name`, `before` and `after` (rows), `planned` (rows the
  strategy wanted; leaves and cells only), `previous` (rows in the last version, null where it cannot be compared),
  `radius`, `near_duplicate_rate` (of the version; leaves only).
- `baselines`: one row per scope and stage (before, after, random, flat, top-down, previous) with its balance; `noise`:
  how far sampling noise may set the entropies of two versions of that scope apart.
- `totals`: one row: rows by disposition, target, `effective_sample_size` of the strategy's weights as a share of the
  rows kept (null without weights), and the same of the last version with the prefix `previous_`.
- `shards`: one row per shard: `uri`, `rows` read, `quarantined`, `reason` where none of it could be read.
- `joint`: for pairs of columns that a gate asks about, one row per pair of their values: `scope` ("group.style"),
  `given` ("tags.concepts"), `concept`, `attribute`, `before` and `after` (rows). No rows where none does.
- `distances`: one row per kind of distance (`by`) from the target set, the pool or the last version (`to`): `pool` and
  `after` (of the pool and of the version), `random` (the mean of what random rows come to) and `bound` (where these
  end). No rows to what is not there, or cannot be compared.
- `signals`: what gates ask of signals and scores, one row per question and value of its group column: `name`, `by`,
  `value`, `below`, `above`, and `rows`, `missing`, `mean`, `deviation`, `beyond` (rows beyond the limit), with the
  prefix `pool_` of the rows that the version is drawn from. No rows where no gate asks.
- `built_in`: one row per expectation of Great Expectations itself: `key`, `success`, `by_row`, `elements`, `missing`,
  `unexpected`, `observed`, `error`, `where` (on which rows), `unexpected_rows`. No rows where no gate is one.
- `properties`: one row per stated property: `key`, `unit` (row, group, cell), `checked`, `broken`, `counterexamples`
  (documents of offenders). No rows where no gate states one.
- `patterns`: one row per text column and pattern: `column`, `pattern`, `rows`, `hits`, `examples`.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from evenkeel.expectations.outlook import Outlook
from evenkeel.expectations.wording import percent
from evenkeel.infra.registry import Registry

if TYPE_CHECKING:
    import pandas as pd

Severity = Literal["warn", "block"]
Shown = Literal["number", "share", "rows"]
MOST_OFFENDERS = 20
SCOPE = r"^(level-[1-9][0-9]?|group\..+)$"


class ExampleRow(BaseModel):
    """One row of an offender: the start of its text, and a small picture of it.

    thumbnail: a data URI of a few kilobytes, "" where the row has no picture.
    """

    model_config = ConfigDict(frozen=True)

    text: str
    thumbnail: str = ""


class Offender(BaseModel):
    """A cluster, group, shard, column or total that breaks an expectation, the reason, and a few rows of it."""

    model_config = ConfigDict(frozen=True)

    scope: str
    name: str
    why: str
    examples: tuple[ExampleRow, ...] = ()


@dataclass(frozen=True)
class Measurement:
    """The number that an expectation measures, with its noise and its offenders.

    value: the measured number. margin: how far sampling noise alone may push it past the threshold; the verdict allows
    for it. limit: the threshold that applied, where the table made it differ from the parameter. offenders: worst
    first.
    """

    value: float
    margin: float = 0.0
    limit: float | None = None
    offenders: list[Offender] = field(default_factory=list)


class UnknownScope(ValueError):
    """An expectation names a level, a group column or a pattern that the data does not have."""


class NotApplicable(Exception):
    """An expectation cannot be measured here: there is no last version, or the pool has no group columns."""


class Expectation(BaseModel):
    """Base of all expectations; subclasses set `expect`, `table` and `concern`, and say what they measure."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    table: ClassVar[str]
    concern: ClassVar[str]
    shown_as: ClassVar[Shown] = "number"

    expect: str
    severity: Severity = Field("block", description="block: a failure stops the version; warn: it is shown.")

    def sentence(self) -> str:
        """Return what is expected, as a sentence without a full stop."""
        raise NotImplementedError

    def measure(self, table: "pd.DataFrame") -> Measurement:
        """Return what the table shows. Raises NotApplicable or UnknownScope."""
        raise NotImplementedError

    def foresee(self, outlook: Outlook) -> tuple[str, str] | None:
        """Return why no version of this outlook can meet it, and what to change; None where one may."""
        if self.table != "shards" or outlook.shards is None or outlook.shards.empty:
            return None
        found = self.measure(outlook.shards)
        if self.holds(found):
            return None
        named = f" ({found.offenders[0].name}: {found.offenders[0].why})" if found.offenders else ""
        return f"the source gives {self.reason(found)}{named}", f"mend the source, or change gates.{self.expect}"

    def holds(self, found: Measurement) -> bool:
        """Tell whether the measurement is within the threshold; a missing number never is."""
        raise NotImplementedError

    def show(self, value: float) -> str:
        """Return a measured value as people read it."""
        return {"number": f"{value:.4g}", "share": percent(value), "rows": f"{value:,.0f}"}[self.shown_as]

    def reason(self, found: Measurement) -> str:
        """Return the finding in one line: the value, its noise and the threshold."""
        raise NotImplementedError

    @property
    def label(self) -> str:
        """The name with the scope that is measured, such as `psi(group.language)`."""
        scope = getattr(self, "scope", None) or getattr(self, "pattern", None)
        return f"{self.expect}({scope})" if scope else self.expect


EXPECTATIONS: Registry[Expectation] = Registry(
    "expectation",
    Expectation,
    tag="expect",
    folder="evenkeel.expectations.concerns",
    group="evenkeel.expectations",
)


class AtMost(Expectation):
    """An expectation whose value must not exceed `at_most`."""

    at_most: float

    def holds(self, found: Measurement) -> bool:
        return found.value - found.margin <= _limit(found, self.at_most)

    def reason(self, found: Measurement) -> str:
        return _finding(self, found, "at most", self.at_most)


class AtLeast(Expectation):
    """An expectation whose value must reach `at_least`."""

    at_least: float

    def holds(self, found: Measurement) -> bool:
        return found.value + found.margin >= _limit(found, self.at_least)

    def reason(self, found: Measurement) -> str:
        return _finding(self, found, "at least", self.at_least)


class Nothing(Expectation):
    """An expectation that counts violations: its value must be 0."""

    def holds(self, found: Measurement) -> bool:
        return found.value == 0


def change_since_last(totals: "pd.DataFrame", column: str, show: Callable[[float], str]) -> Measurement:
    """Return the relative change of a total since the last version; `show` returns a value of it in words.

    Raises NotApplicable where there is no last version.
    """
    now, last = float(totals[column].iloc[0]), float(totals[f"previous_{column}"].iloc[0])
    if not last > 0:
        raise NotApplicable("there is no last version to compare with")
    why = f"{show(last)} in the last version, {show(now)} now"
    return Measurement(now / last - 1, offenders=[Offender(scope="totals", name=column, why=why)])


def _limit(found: Measurement, otherwise: float) -> float:
    return otherwise if found.limit is None else found.limit


def _finding(one: Expectation, found: Measurement, bound: str, threshold: float) -> str:
    margin = f"{found.margin:.2g}" if one.shown_as == "number" else one.show(found.margin)
    noise = f" (noise {margin})" if found.margin else ""
    return f"{one.show(found.value)}{noise}, {bound} {one.show(_limit(found, threshold))}"
