"""Drift: the version differs from the last one, or from the pool, no more than two samples of one pool would."""

from functools import partial
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
from pydantic import Field

from evenkeel.expectations import measures
from evenkeel.expectations.expectation import (
    MOST_OFFENDERS,
    AtMost,
    Measurement,
    NotApplicable,
    Nothing,
    Offender,
    Shown,
)
from evenkeel.expectations.scopes import counts, offenders_of, pick, previous_counts, scopes, share_of, version_counts
from evenkeel.expectations.wording import percent

if TYPE_CHECKING:
    import pandas as pd

Against = Literal["previous", "pool"]
SCOPE: str = Field(
    "groups",
    pattern=r"^(groups|level-[1-9][0-9]?|group\..+)$",
    description="groups = every group column, the worst one counts; group.<column>; level-<n>.",
)
AGAINST: Against = Field("previous", description="previous: the last version; pool: all rows before sampling.")


class _Distance(AtMost):
    """A distance between the version and a reference, over one scope or the worst of all group columns."""

    concern: ClassVar[str] = "drift"
    table: ClassVar[str] = "shares"

    scope: str = SCOPE
    against: Against = AGAINST

    def distance(self, after: measures.Counts, reference: measures.Counts) -> float:
        """Return the distance of two count vectors (k,)."""
        raise NotImplementedError

    def measure(self, table: "pd.DataFrame") -> Measurement:
        found = [self._measure(pick(table, scope), scope) for scope in scopes(table, self.scope)]
        return max(found, key=lambda one: one.value - one.margin)

    def _measure(self, rows: "pd.DataFrame", scope: str) -> Measurement:
        after = version_counts(rows, scope)
        reference = counts(rows, "before") if self.against == "pool" else previous_counts(rows, scope)
        if reference.sum() == 0:
            raise NotApplicable(f"the reference has no rows in {scope}")
        change = np.abs(after / after.sum() - reference / reference.sum())
        name = "the pool" if self.against == "pool" else "the last version"
        offenders = offenders_of(
            rows,
            scope,
            change,
            lambda i: f"{percent(after[i] / after.sum())} now, {percent(reference[i] / reference.sum())} in {name}",
        )
        return Measurement(
            self.distance(after, reference), measures.null_margin(self.distance, after, reference), offenders=offenders
        )

    def _of(self) -> str:
        return "every group column" if self.scope == "groups" else self.scope

    def _from(self) -> str:
        return "the pool" if self.against == "pool" else "the last version"

    @property
    def label(self) -> str:
        return f"{self.expect}({self.scope}, {self.against})"


class PSI(_Distance):
    """The population stability index, sum (p - q) log(p / q), is small: under 0.1 is stable, over 0.25 is a shift."""

    expect: Literal["psi"] = "psi"
    at_most: float = Field(0.25, gt=0, description="Largest index, beyond sampling noise.")

    def sentence(self) -> str:
        return f"the population stability index of {self._of()} against {self._from()} is at most {self.at_most:g}"

    def distance(self, after: measures.Counts, reference: measures.Counts) -> float:
        return measures.psi(after, reference)


class KLDrift(_Distance):
    """The Kullback-Leibler divergence of the version from a reference is small, in nats."""

    expect: Literal["kl_drift"] = "kl_drift"
    at_most: float = Field(0.1, gt=0, description="Largest divergence in nats, beyond sampling noise.")

    def sentence(self) -> str:
        return f"{self._of()} lies within {self.at_most:g} nats of {self._from()}"

    def distance(self, after: measures.Counts, reference: measures.Counts) -> float:
        return measures.kl(after, reference)


class MovedRows(_Distance):
    """Few rows changed class: the total variation distance, which small groups hardly move."""

    shown_as: ClassVar[Shown] = "share"

    expect: Literal["moved_rows"] = "moved_rows"
    at_most: float = Field(0.08, gt=0, le=1, description="Largest share of rows, beyond sampling noise.")

    def sentence(self) -> str:
        return f"at most {percent(self.at_most)} of the rows changed class in {self._of()} since {self._from()}"

    def distance(self, after: measures.Counts, reference: measures.Counts) -> float:
        return measures.moved(after, reference)


class WorstGroupChange(AtMost):
    """No group's share changed by more than a factor since the last version, beyond its own sampling noise."""

    concern: ClassVar[str] = "drift"
    table: ClassVar[str] = "shares"
    shown_as: ClassVar[Shown] = "share"

    expect: Literal["worst_group_change"] = "worst_group_change"
    scope: str = SCOPE
    at_most: float = Field(0.5, gt=0, description="Largest relative change of one group's share, either way.")

    def sentence(self) -> str:
        of = "every group column" if self.scope == "groups" else self.scope
        return f"no share in {of} changed by more than {percent(self.at_most)} of itself since the last version"

    def measure(self, table: "pd.DataFrame") -> Measurement:
        found = [self._measure(pick(table, scope), scope) for scope in scopes(table, self.scope)]
        return max(found, key=lambda one: one.value - one.margin)

    def _measure(self, rows: "pd.DataFrame", scope: str) -> Measurement:
        after, last = version_counts(rows, scope), previous_counts(rows, scope)
        if last.sum() == 0:
            raise NotApplicable(f"the last version has no rows in {scope}")
        p, q = after / after.sum(), last / last.sum()
        there = last > 0
        change = np.where(there, np.abs(p - q) / np.where(there, q, 1.0), 0.0)
        pooled = (after + last) / (after.sum() + last.sum())
        spread = np.sqrt(pooled * (1 - pooled) * (1 / after.sum() + 1 / last.sum())) / np.where(there, q, 1.0)
        noise = measures.noise_quantile(len(rows)) * spread
        worst = int(np.argmax(change - noise))
        offenders = offenders_of(
            rows,
            scope,
            change - noise,
            lambda i: f"{share_of(after, after, i)} now, {percent(q[i])} in the last version",
        )
        return Measurement(float(change[worst]), float(noise[worst]), offenders=offenders)


class LostGroups(Nothing):
    """Every group that had a fair number of rows before still has some."""

    concern: ClassVar[str] = "drift"
    table: ClassVar[str] = "shares"

    expect: Literal["lost_groups"] = "lost_groups"
    scope: str = SCOPE
    against: Against = AGAINST
    min_rows: int = Field(20, ge=1, description="A group with fewer rows in the reference may be gone by chance.")

    def sentence(self) -> str:
        of = "any group column" if self.scope == "groups" else self.scope
        where = "the pool" if self.against == "pool" else "the last version"
        return f"no value of {of} with {self.min_rows} rows or more in {where} is gone"

    def measure(self, table: "pd.DataFrame") -> Measurement:
        lost: list[Offender] = []
        gone = 0
        for scope in scopes(table, self.scope):
            rows = pick(table, scope)
            reference = counts(rows, "before") if self.against == "pool" else previous_counts(rows, scope)
            missing = np.where(counts(rows, "after") > 0, 0.0, reference)
            missing = np.where(missing >= self.min_rows, missing, 0.0)
            gone += int((missing > 0).sum())
            where = "the pool" if self.against == "pool" else "the last version"
            lost += offenders_of(rows, scope, missing, partial(_gone, reference, where))
        return Measurement(float(gone), offenders=lost[:MOST_OFFENDERS])

    def reason(self, found: Measurement) -> str:
        return f"{found.value:.0f} gone"

    @property
    def label(self) -> str:
        return f"{self.expect}({self.scope}, {self.against})"


def _gone(reference: measures.Counts, where: str, i: int) -> str:
    return f"{reference[i]:,.0f} rows in {where}, none now"
