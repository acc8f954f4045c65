"""Baselines: the version is at least as even as a simpler choice of rows, or as the last version."""

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from evenkeel.expectations.concerns.balance import SCOPE_FIELD
from evenkeel.expectations.expectation import Expectation, Measurement, NotApplicable, Offender
from evenkeel.expectations.scopes import pick

if TYPE_CHECKING:
    import pandas as pd


class NoWorseThan(Expectation):
    """The version is at least as even as a baseline: the pool, a random draw, flat, top-down or the last version."""

    concern: ClassVar[str] = "balance"
    table: ClassVar[str] = "baselines"

    expect: Literal["no_worse_than"] = "no_worse_than"
    scope: str = SCOPE_FIELD
    baseline: Literal["before", "random", "flat", "top-down", "previous"] = Field(
        "random", description="What to compare with; before is the pool."
    )
    tolerance: float = Field(0.05, ge=0, le=1, description="By how much the normalised entropy may be lower.")

    def sentence(self) -> str:
        names = {"before": "the pool", "random": "a random draw", "previous": "the last version"}
        name = names.get(self.baseline, f"the {self.baseline} baseline")
        return f"{self.scope} is as even as {name}, by normalised entropy"

    def measure(self, table: "pd.DataFrame") -> Measurement:
        rows = pick(table, self.scope).set_index("stage")["entropy"]
        if self.baseline not in rows.index or rows.isna()[self.baseline]:
            raise NotApplicable(f"the profile has no {self.baseline} baseline for {self.scope}")
        after, baseline = float(rows["after"]), float(rows[self.baseline])
        why = f"normalised entropy {after:.3f}; {self.baseline} has {baseline:.3f}"
        return Measurement(after, self.tolerance, baseline, [Offender(scope=self.scope, name=self.baseline, why=why)])

    def holds(self, found: Measurement) -> bool:
        return found.limit is not None and found.value + found.margin >= found.limit

    def reason(self, found: Measurement) -> str:
        return f"{self.show(found.value)}, {self.baseline} {self.show(found.limit or 0.0)}"

    @property
    def label(self) -> str:
        return f"{self.expect}({self.baseline}, {self.scope})"
