"""Clusters: few are oversized or tiny, the version covers them, and they fit the rows as well as last time."""

from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
from pydantic import Field

from evenkeel.expectations.expectation import AtLeast, AtMost, Expectation, Measurement, Shown, change_since_last
from evenkeel.expectations.scopes import counts, offenders_of, pick, share_of, version_counts
from evenkeel.expectations.wording import percent

if TYPE_CHECKING:
    import pandas as pd

LEVEL: str = Field("level-1", pattern=r"^level-[1-9][0-9]?$", description="level-1 is the finest level.")


class _Clusters(Expectation):
    concern: ClassVar[str] = "clusters"
    table: ClassVar[str] = "shares"
    shown_as: ClassVar[Shown] = "share"

    scope: str = LEVEL


class Coverage(_Clusters, AtLeast):
    """Nearly every cluster that can be in the version has rows in it.

    Asked for are the clusters that have rows in the pool and, at level 1, a quota in the plan of the strategy: a small
    target, or a strategy that weighs clusters by their rows, leaves some without. Where the version has fewer rows than
    there are clusters, only that many are asked for. `of: pool` asks for all that have rows in the pool.
    """

    expect: Literal["coverage"] = "coverage"
    at_least: float = Field(0.8, ge=0, le=1, description="Smallest share of the clusters that must be covered.")

    of: Literal["plan", "pool"] = Field(
        "plan", description="Which clusters: those that the strategy gave a quota, or all with rows in the pool."
    )

    def sentence(self) -> str:
        which = "clusters" if self.of == "pool" else "planned clusters"
        return f"at least {percent(self.at_least)} of the {which} of {self.scope} have rows in the version"

    def measure(self, table: "pd.DataFrame") -> Measurement:
        rows = pick(table, self.scope)
        before, after = counts(rows, "before"), version_counts(rows, self.scope)
        planned = counts(rows, "planned") if self.of == "plan" else np.zeros(len(before))
        wanted = (before > 0) & (planned > 0) if planned.sum() else before > 0
        possible = min(float(wanted.sum()), after.sum())
        lost = np.where((after > 0) | ~wanted, 0.0, before)
        offenders = offenders_of(
            rows, self.scope, lost, lambda i: f"{before[i]:,.0f} rows in the pool, none in the version"
        )
        return Measurement(float(((after > 0) & wanted).sum()) / max(possible, 1.0), offenders=offenders)


class OversizedCluster(_Clusters, AtMost):
    """No cluster holds too much of the pool, before sampling."""

    expect: Literal["oversized_cluster"] = "oversized_cluster"
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


class TinyClusters(_Clusters, AtMost):
    """Few clusters have hardly any rows: balancing over many of them would balance over outliers."""

    expect: Literal["tiny_clusters"] = "tiny_clusters"
    min_rows: int = Field(2, ge=1, description="A cluster with fewer rows in the pool is tiny.")
    at_most: float = Field(0.5, ge=0, le=1, description="Largest share of the clusters that may be tiny.")

    def sentence(self) -> str:
        return f"at most {percent(self.at_most)} of the clusters of {self.scope} have fewer than {self.min_rows} rows"

    def measure(self, table: "pd.DataFrame") -> Measurement:
        rows = pick(table, self.scope)
        before = counts(rows, "before")
        tiny = (before < self.min_rows).astype(np.float64)
        offenders = offenders_of(rows, self.scope, tiny, lambda i: f"{before[i]:,.0f} rows in the pool")
        return Measurement(float(tiny.mean()), offenders=offenders)


class InertiaChange(AtMost):
    """The clusters fit no worse than in the last version, by mean squared distance to the centroid."""

    concern: ClassVar[str] = "clusters"
    table: ClassVar[str] = "totals"
    shown_as: ClassVar[Shown] = "share"

    expect: Literal["inertia_change"] = "inertia_change"
    at_most: float = Field(0.05, ge=0, description="Largest relative rise of the mean squared distance.")

    def sentence(self) -> str:
        return f"the clusters fit at most {percent(self.at_most)} worse than in the last version, by inertia per row"

    def measure(self, table: "pd.DataFrame") -> Measurement:
        return change_since_last(table, "inertia", lambda value: f"inertia per row {value:.4g}")
