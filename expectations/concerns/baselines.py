"""Baselines: the version is at least as even as a simpler choice of rows, or as the last version."""

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from evenkeel.expectations.expectation import MOST_OFFENDERS, Expectation, Measurement, NotApplicable, Offender
from evenkeel.expectations.scopes import pick, scopes

if TYPE_CHECKING:
    import pandas as pd

ANY_SCOPE = r"^(levels|groups|level-[1-9][0-9]?|group\..+)$"


class NoWorseThan(Expectation):
    """The version is at least as even as a baseline: the pool, a random draw, flat, top-down or the last version.

    `levels` and `groups` ask it of every level and of every group column; the worst one counts. What sampling noise
    alone may do to the entropies of two versions of this size is allowed for.
    """

    concern: ClassVar[str] = "balance"
    table: ClassVar[str] = "baselines"

    expect: Literal["no_worse_than"] = "no_worse_than"
    scope: str = Field(
        "level-1",
        pattern=ANY_SCOPE,
        description="level-1 is the finest level; levels = every level; group.<column>; groups = every group column.",
    )
    baseline: Literal["before", "random", "flat", "top-down", "previous"] = Field(
        "random", description="What to compare with; before is the pool."
    )
    tolerance: float = Field(0.05, ge=0, le=1, description="By how much the normalised entropy may be lower.")

    def sentence(self) -> str:
        names = {"before": "the pool", "random": "a random draw", "previous": "the last version"}
        name = names.get(self.baseline, f"the {self.baseline} baseline")
        many = {"levels": "every level", "groups": "every group column"}
        return f"{many.get(self.scope, self.scope)} is as even as {name}, by normalised entropy"

    def measure(self, table: "pd.DataFrame") -> Measurement:
        found = [self._measure(table, scope) for scope in scopes(table, self.scope)]
        worst = min(found, key=lambda one: one.value + one.margin - (one.limit or 0.0))
        uneven = sorted((one for one in found if not self.holds(one)), key=lambda one: one.value - (one.limit or 0.0))
        offenders = [offender for one in uneven or [worst] for offender in one.offenders]
        return Measurement(worst.value, worst.margin, worst.limit, offenders[:MOST_OFFENDERS])

    def _measure(self, table: "pd.DataFrame", scope: str) -> Measurement:
        rows = pick(table, scope).set_index("stage")
        entropy = rows["entropy"]
        if self.baseline not in entropy.index or entropy.isna()[self.baseline]:
            raise NotApplicable(f"the profile has no {self.baseline} baseline for {scope}")
        after, baseline = float(entropy["after"]), float(entropy[self.baseline])
        noise = float(rows["noise"]["after"]) if "noise" in rows else 0.0
        why = f"normalised entropy {after:.3f}; {self.baseline} has {baseline:.3f}{_remedy(scope)}"
        margin = self.tolerance + (noise if noise == noise else 0.0)
        return Measurement(after, margin, baseline, [Offender(scope=scope, name=self.baseline, why=why)])

    def holds(self, found: Measurement) -> bool:
        return found.limit is not None and found.value + found.margin >= found.limit

    def reason(self, found: Measurement) -> str:
        where = f" in {found.offenders[0].scope}" if self.scope in ("levels", "groups") and found.offenders else ""
        limit = found.limit or 0.0
        allowed = (
            f"; up to {self.show(found.margin)} less is tolerance and sampling noise" if found.value < limit else ""
        )
        return f"{self.show(found.value)}, {self.baseline} {self.show(limit)}{where}{allowed}"

    @property
    def label(self) -> str:
        return f"{self.expect}({self.baseline}, {self.scope})"


def _remedy(scope: str) -> str:
    """Return what would make a group column even; clusters know nothing of its values."""
    column = scope.removeprefix("group.")
    if column == scope:
        return ""
    return f"; to balance it: sampling.strategy: {{name: uniform, groups: [{column}]}}, or sampling.shares"
