"""What an expectation is: a few bounded parameters, one sentence, and a measurement of one small table.

An expectation is a pydantic model, so a recipe can hold it and bad thresholds are refused before anything runs.
`expectations.engine` turns it into a Great Expectations metric and expectation; nothing here imports that library.

A table is a pandas frame. The tables are:

- `shares`: one row per cluster of a level and per value of a group column. `scope` ("level-1", "group.language"),
  `name`, `before` and `after` (rows), `planned` (rows the strategy wanted; leaves only), `previous` (rows in the last
  version, null where it cannot be compared), `radius`, `near_duplicate_rate` (of the version; leaves only).
- `baselines`: one row per scope and stage (before, after, random, flat, top-down, previous) with its balance.
- `totals`: one row: rows by fate, target, and the same of the last version with the prefix `previous_`.
- `shards`: one row per shard: `uri`, `rows` read, `quarantined`, `reason` where none of it could be read.
- `patterns`: one row per text column and pattern: `column`, `pattern`, `rows`, `hits`, `examples`.
"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

if TYPE_CHECKING:
    import pandas as pd

Severity = Literal["warn", "block"]
BLAMED = 20
SCOPE = r"^(level-[1-9][0-9]?|group\..+)$"


class Blame(BaseModel):
    """One counterexample: which cluster, group, shard, column or fate is to blame, and why."""

    model_config = ConfigDict(frozen=True)

    scope: str
    name: str
    why: str
    examples: tuple[str, ...] = ()


@dataclass(frozen=True)
class Measurement:
    """What an expectation found.

    value: the measured number. margin: how far sampling noise alone may push it past the threshold; the verdict allows
    for it. limit: the threshold that applied, where the table made it differ from the parameter. blame: worst first.
    """

    value: float
    margin: float = 0.0
    limit: float | None = None
    blame: list[Blame] = field(default_factory=list)


class UnknownScope(ValueError):
    """An expectation names a level, a group column or a pattern that the data does not have."""


class NotApplicable(Exception):
    """The expectation has nothing to look at here, for a reason worth telling: no last version, no group columns."""


class Expectation(BaseModel):
    """Base of all expectations; subclasses set `expect`, `table` and `concern`, and say what they measure."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    table: ClassVar[str]
    concern: ClassVar[str]

    expect: str
    severity: Severity = Field("block", description="block: a failure stops the version; warn: it is shown.")

    def sentence(self) -> str:
        """Return what is expected, as a plain sentence without a full stop."""
        raise NotImplementedError

    def measure(self, table: "pd.DataFrame") -> Measurement:
        """Return what the table shows. Raises NotApplicable or UnknownScope."""
        raise NotImplementedError

    def holds(self, found: Measurement) -> bool:
        """Tell whether the measurement is within the threshold; a missing number never is."""
        raise NotImplementedError

    def show(self, value: float) -> str:
        """Return a measured value as people read it."""
        return f"{value:.4g}"

    def reason(self, found: Measurement) -> str:
        """Return the finding in one line: the value, its noise and the threshold."""
        raise NotImplementedError

    @property
    def label(self) -> str:
        """The name with the scope it looks at, such as `psi(group.language)`."""
        scope = getattr(self, "scope", None) or getattr(self, "pattern", None)
        return f"{self.expect}({scope})" if scope else self.expect


class AtMost(Expectation):
    """An expectation whose value must not exceed `at_most`."""

    at_most: float

    def holds(self, found: Measurement) -> bool:
        return found.value - found.margin <= _limit(found, self.at_most)

    def reason(self, found: Measurement) -> str:
        return f"{self._found(found)}, at most {self.show(_limit(found, self.at_most))}"

    def _found(self, found: Measurement) -> str:
        return self.show(found.value) + (f" (noise {self.show(found.margin)})" if found.margin else "")


class AtLeast(Expectation):
    """An expectation whose value must reach `at_least`."""

    at_least: float

    def holds(self, found: Measurement) -> bool:
        return found.value + found.margin >= _limit(found, self.at_least)

    def reason(self, found: Measurement) -> str:
        noise = f" (noise {self.show(found.margin)})" if found.margin else ""
        return f"{self.show(found.value)}{noise}, at least {self.show(_limit(found, self.at_least))}"


def _limit(found: Measurement, otherwise: float) -> float:
    return otherwise if found.limit is None else found.limit
