"""Clusters: the clustering itself is sound - no giant, little dust, every leaf covered, no worse fit than last time."""

from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from evenkeel.expectations.expectation import AtLeast, AtMost, Expectation, Measurement, Shown, change_since_last
from evenkeel.expectations.scopes import counts, offenders_of, pick, share_of, version_counts
from evenkeel.expectations.wording import percent

if TYPE_CHECKING:
    import pandas as pd

LEVEL: Any = Field("level-1", pattern=r"^level-[1-9][0-9]?$", description="level-1 is the finest level.")


class _Clusters(Expectation):
    concern: ClassVar[str] = "clusters"
    table: ClassVar[str] = "shares"
    shown_as: ClassVar[Shown] = "share"

    scope: str = LEVEL


class Coverage(_Clusters, AtLeast):
    """Nearly every cluster that has rows in the pool has rows in the version, as far as the target has rows to give."""

    expect: Literal["coverage"] = "coverage"
    at_least: float = Field(0.8, ge=0, le=1, description="Smallest share of the clusters that must be covered.")

    def sentence(self) -> str:
        return f"at least {percent(self.at_least)} of the clusters of {self.scope} have rows in the version"

    def measure(self, table: "pd.DataFrame") -> Measurement:
        rows = pick(table, self.scope)
        before, after = counts(rows, "before"), version_counts(rows, self.scope)
        possible = min(float((before > 0).sum()), after.sum())
        lost = np.where(after > 0, 0.0, before)
        offenders = offenders_of(
            rows, self.scope, lost, lambda i: f"{before[i]:,.0f} rows in the pool, none in the version"
        )
        return Measurement(float(((after > 0) & (before > 0)).sum()) / max(possible, 1.0), offenders=offenders)


class GiantCluster(_Clusters, AtMost):
    """No cluster swallowed the pool: the largest one holds at most a share of the rows before sampling."""

    expect: Literal["giant_cluster"] = "giant_cluster"
    at_most: float = Field(0.2, gt=0, le=1, description="Largest share of the pool in one cluster.")

    def sentence(self) -> str:
        return f"no cluster of {self.scope} holds more than {percent(self.at_most)} of the pool"

    def measure(self, table: "pd.DataFrame") -> Measurement:
        rows = pick(table, self.scope)
        before = counts(rows, "before")
        shares = before / max(before.sum(), 1.0)
        limit = max(self.at_most, 3 / len(before))
        offenders = offenders_of(
            rows, self.scope, shares - limit, lambda i: f"{share_of(before, before, i)} before sampling"
        )
        return Measurement(float(shares.max()), limit=limit, offenders=offenders)


class Dust(_Clusters, AtMost):
    """Few clusters are dust: hardly any rows each, so that balancing over them would balance over outliers."""

    expect: Literal["dust"] = "dust"
    min_rows: int = Field(2, ge=1, description="A cluster with fewer rows in the pool is dust.")
    at_most: float = Field(0.5, ge=0, le=1, description="Largest share of the clusters that may be dust.")

    def sentence(self) -> str:
        return f"at most {percent(self.at_most)} of the clusters of {self.scope} have fewer than {self.min_rows} rows"

    def measure(self, table: "pd.DataFrame") -> Measurement:
        rows = pick(table, self.scope)
        before = counts(rows, "before")
        dust = (before < self.min_rows).astype(np.float64)
        offenders = offenders_of(rows, self.scope, dust, lambda i: f"{before[i]:,.0f} rows in the pool")
        return Measurement(float(dust.mean()), offenders=offenders)


class InertiaChange(AtMost):
    """The clusters fit no worse than last time: mean squared distance to the centroid, against the last version."""

    concern: ClassVar[str] = "clusters"
    table: ClassVar[str] = "totals"
    shown_as: ClassVar[Shown] = "share"

    expect: Literal["inertia_change"] = "inertia_change"
    at_most: float = Field(0.05, ge=0, description="Largest relative rise of the mean squared distance.")

    def sentence(self) -> str:
        return f"the clusters fit at most {percent(self.at_most)} worse than in the last version, by inertia per row"

    def measure(self, table: "pd.DataFrame") -> Measurement:
        return change_since_last(table, "inertia", lambda value: f"inertia per row {value:.4g}")
