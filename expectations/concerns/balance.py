"""Balance: the version lies evenly over the clusters of a level, or over the values of a group column."""

from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
from pydantic import Field, model_validator

from evenkeel.expectations import measures
from evenkeel.expectations.expectation import (
    SCOPE,
    AtLeast,
    AtMost,
    Expectation,
    Measurement,
    NotApplicable,
    Offender,
    Shown,
)
from evenkeel.expectations.outlook import Outlook
from evenkeel.expectations.scopes import counts, offenders_of, pick, share_of, version_counts
from evenkeel.expectations.wording import percent

if TYPE_CHECKING:
    import pandas as pd

SCOPE_FIELD: str = Field("level-1", pattern=SCOPE, description="level-1 is the finest level; or group.<column>.")


class _Balance(Expectation):
    concern: ClassVar[str] = "balance"
    table: ClassVar[str] = "shares"

    scope: str = SCOPE_FIELD

    def _overfull(self, rows: "pd.DataFrame", after: measures.Counts) -> list[Offender]:
        """Return the classes that hold more than the most even allocation gives them."""
        even = np.ceil(measures.attainable(counts(rows, "before"), after.sum()))
        return offenders_of(
            rows,
            self.scope,
            after - even,
            lambda i: f"{share_of(after, after, i)}; an even version would take {even[i]:,.0f}",
        )


class _Evenness(_Balance):
    """A statistic of how even the version's shares are; its noise is estimated by resampling."""

    def statistic(self, after: measures.Counts) -> float:
        """Return the statistic of counts (k,)."""
        raise NotImplementedError

    def foresee(self, outlook: Outlook) -> tuple[str, str] | None:
        """Return why the most even version of so many rows fails: with fewer rows than clusters, one row each."""
        classes = outlook.classes(self.scope)
        if classes is None or classes <= outlook.kept:
            return None
        best = np.zeros(classes)
        best[: outlook.kept] = 1.0
        found = Measurement(self.statistic(best), measures.bootstrap_margin(self.statistic, best))
        if self.holds(found):
            return None
        return (
            f"{outlook.kept:,} rows over {classes:,} clusters reach {self.reason(found)}",
            f"raise sampling.target to {classes:,} rows, or have fewer clusters (clustering.levels)",
        )

    def measure(self, table: "pd.DataFrame") -> Measurement:
        rows = pick(table, self.scope)
        after = version_counts(rows, self.scope)
        margin = measures.bootstrap_margin(self.statistic, after)
        return Measurement(self.statistic(after), margin, offenders=self._overfull(rows, after))


class FollowsPlan(_Balance, AtMost):
    """The version has the rows that the sampling strategy planned for every cluster, or for every cell of its own.

    The value is the share of rows that would have to move to meet the quotas. It holds for every strategy, whatever it
    balances: a version whose rows were added, lost or filtered after the draw fails. Cells are what a strategy gives
    quotas to where that is not the leaves: values of a group column, cells of a grid, all rows.
    """

    shown_as: ClassVar[Shown] = "share"

    expect: Literal["follows_plan"] = "follows_plan"
    scope: Literal["level-1", "cells"] = Field(
        "level-1", description="level-1: rows by leaf; cells: rows by the cell of the strategy, as they were drawn."
    )
    at_most: float = Field(0.02, ge=0, le=1, description="Largest share of rows that may be off plan.")

    def sentence(self) -> str:
        of = " for its own cells" if self.scope == "cells" else ""
        return f"at most {percent(self.at_most)} of the rows are off the quotas that the strategy planned{of}"

    def measure(self, table: "pd.DataFrame") -> Measurement:
        if self.scope == "cells" and not (table["scope"] == "cells").any():
            raise NotApplicable("the strategy gives quotas to clusters")
        rows = pick(table, self.scope)
        after, planned = version_counts(rows, self.scope), counts(rows, "planned")
        if planned.sum() == 0:
            raise NotApplicable("the plan of the sampling strategy is not known here")
        wanted = planned * after.sum() / planned.sum()
        offenders = offenders_of(
            rows, self.scope, np.abs(after - wanted), lambda i: f"{after[i]:,.0f} rows; {planned[i]:,.0f} were planned"
        )
        return Measurement(measures.moved(after, planned), offenders=offenders)


class MisplacedRows(_Balance, AtMost):
    """The version is close to the most even one that the pool allows.

    The most even one takes min(size, cap) rows from every class (water-filling); the value is the share of rows beyond
    the cap, or missing below it, whichever is more. It asks the same of any number of clusters and any target, so its
    threshold rarely needs tuning.
    """

    shown_as: ClassVar[Shown] = "share"

    expect: Literal["misplaced_rows"] = "misplaced_rows"
    at_most: float = Field(0.25, ge=0, le=1, description="Largest share of rows that may be misplaced.")

    def sentence(self) -> str:
        return (
            f"at most {percent(self.at_most)} of the rows lie elsewhere than in the most even version over {self.scope}"
        )

    def measure(self, table: "pd.DataFrame") -> Measurement:
        rows = pick(table, self.scope)
        after = version_counts(rows, self.scope)
        even = measures.attainable(counts(rows, "before"), after.sum())
        surplus = np.maximum(after - np.ceil(even.max()), 0).sum()
        deficit = np.maximum(np.floor(even) - after, 0).sum()
        return Measurement(float(max(surplus, deficit) / after.sum()), offenders=self._overfull(rows, after))


class NormalisedEntropy(_Evenness, AtLeast):
    """The normalised entropy of the shares, entropy / log k, is high: 1 is perfectly even (GRADE, arXiv 2410.22592)."""

    expect: Literal["normalised_entropy"] = "normalised_entropy"
    at_least: float = Field(0.85, ge=0, le=1, description="Smallest normalised entropy, 0 to 1.")

    def sentence(self) -> str:
        return f"the normalised entropy of {self.scope} is at least {self.at_least:g}"

    def statistic(self, after: measures.Counts) -> float:
        return measures.normalised_entropy(after)


class KLUniform(_Evenness, AtMost):
    """The Kullback-Leibler divergence of the shares from uniform is small, in nats; 0 is perfectly even."""

    expect: Literal["kl_uniform"] = "kl_uniform"
    at_most: float = Field(0.5, ge=0, description="Largest divergence, in nats.")

    def sentence(self) -> str:
        return f"{self.scope} is within {self.at_most:g} nats of uniform"

    def statistic(self, after: measures.Counts) -> float:
        return measures.kl_uniform(after)


class KLTarget(_Balance, AtMost):
    """The Kullback-Leibler divergence of the shares from a target mixture is small, in nats."""

    expect: Literal["kl_target"] = "kl_target"
    scope: str = Field(pattern=SCOPE, description="Usually group.<column>.")
    target: dict[str, float] = Field(min_length=1, description="Wanted share by value; missing values are wanted at 0.")
    at_most: float = Field(0.05, ge=0, description="Largest divergence, in nats.")

    @model_validator(mode="after")
    def _is_a_distribution(self) -> "KLTarget":
        if min(self.target.values()) < 0 or abs(sum(self.target.values()) - 1) > 1e-3:
            raise ValueError(f"the target shares must be 0 or more and add up to 1, not {sum(self.target.values()):g}")
        return self

    def sentence(self) -> str:
        wanted = ", ".join(f"{name} {percent(share)}" for name, share in list(self.target.items())[:6])
        return f"{self.scope} is within {self.at_most:g} nats of its target ({wanted}{', …' * (len(self.target) > 6)})"

    def measure(self, table: "pd.DataFrame") -> Measurement:
        rows = pick(table, self.scope)
        after = version_counts(rows, self.scope)
        absent = sorted(set(self.target) - set(map(str, rows["name"])))
        values = np.append(after, np.zeros(len(absent)))
        shares = [self.target.get(str(name), 0.0) for name in rows["name"]] + [self.target[name] for name in absent]
        wanted = np.array(shares) * values.sum()
        offenders = offenders_of(
            rows,
            self.scope,
            np.abs(after - wanted[: len(after)]),
            lambda i: f"{share_of(after, after, i)}; the target is {percent(wanted[i] / wanted.sum())}",
        )
        missing = [Offender(scope=self.scope, name=name, why="wanted, but not in the pool") for name in absent]
        margin = measures.null_margin(measures.kl, values, wanted)
        return Measurement(measures.kl(values, wanted), margin, offenders=missing + offenders)


class Gini(_Evenness, AtMost):
    """The Gini index of the shares is small: 0 where all are equal, near 1 where one class holds everything."""

    expect: Literal["gini"] = "gini"
    at_most: float = Field(0.5, ge=0, le=1, description="Largest Gini index, 0 to 1.")

    def sentence(self) -> str:
        return f"the Gini index of {self.scope} is at most {self.at_most:g}"

    def statistic(self, after: measures.Counts) -> float:
        return measures.gini(after)


class LargestShare(_Balance, AtMost):
    """No class holds too much of the version.

    Where the pool or the strategy's quotas force more than the threshold, the limit is 1.5 times what they force.
    """

    shown_as: ClassVar[Shown] = "share"

    expect: Literal["largest_share"] = "largest_share"
    at_most: float = Field(0.05, gt=0, le=1, description="Largest share of the version that one class may hold.")

    def sentence(self) -> str:
        return f"no class of {self.scope} holds more than {percent(self.at_most)} of the version"

    def measure(self, table: "pd.DataFrame") -> Measurement:
        rows = pick(table, self.scope)
        after = version_counts(rows, self.scope)
        shares, total = after / after.sum(), after.sum()
        forced = float(np.ceil(measures.attainable(counts(rows, "before"), total).max()) / total)
        planned = counts(rows, "planned")
        limit = max(self.at_most, 1.5 * max(forced, float(planned.max() / max(planned.sum(), 1.0))))
        top = float(shares.max())
        margin = measures.noise_quantile(len(shares)) * float(np.sqrt(top * (1 - top) / total))
        offenders = offenders_of(rows, self.scope, shares - limit, lambda i: share_of(after, after, i))
        return Measurement(top, margin, limit, offenders)


class SmallestShare(_Balance, AtLeast):
    """Every class that has rows in the pool keeps a share of the version."""

    shown_as: ClassVar[Shown] = "share"

    expect: Literal["smallest_share"] = "smallest_share"
    at_least: float = Field(0.0001, ge=0, le=1, description="Smallest share of the version that a class may hold.")

    def sentence(self) -> str:
        return f"every class of {self.scope} that the pool has holds at least {percent(self.at_least)} of the version"

    def foresee(self, outlook: Outlook) -> tuple[str, str] | None:
        classes = outlook.classes(self.scope)
        if classes is None or self.at_least == 0 or min(1 / classes, outlook.kept // classes) >= self.at_least:
            return None
        if outlook.kept < classes:
            return (
                f"{outlook.kept:,} rows leave some of {classes:,} clusters without any",
                f"raise sampling.target to {classes:,} rows, or have fewer clusters (clustering.levels)",
            )
        why = f"{classes:,} clusters cannot each hold {percent(self.at_least)}"
        return why, f"lower at_least to {percent(1 / classes)} or less"

    def measure(self, table: "pd.DataFrame") -> Measurement:
        rows = pick(table, self.scope)
        after, before = version_counts(rows, self.scope), counts(rows, "before")
        there = before > 0
        if not there.any():
            raise NotApplicable(f"the pool has no rows in {self.scope}")
        shares, total = after / after.sum(), after.sum()
        low = float(shares[there].min())
        margin = measures.noise_quantile(len(shares)) * float(np.sqrt(max(low, 1 / total) / total)) if low > 0 else 0.0
        too_little = np.where(there, self.at_least - shares, 0.0)
        offenders = offenders_of(
            rows, self.scope, too_little, lambda i: f"{share_of(after, after, i)}; the pool has {before[i]:,.0f} rows"
        )
        return Measurement(low, margin, offenders=offenders)


class EffectiveSampleSize(AtLeast):
    """The weights of the strategy favour enough rows to choose from.

    The effective number of rows of weights w over the pool is (sum w)^2 / sum w^2 (Kish 1965). Where it is far below
    the number of rows to keep, a few rows hold all the weight and the rest of the version is hardly weighted at all.
    The value is that number by cell, as a share of the quota and at most all of it.
    """

    concern: ClassVar[str] = "balance"
    table: ClassVar[str] = "totals"
    shown_as: ClassVar[Shown] = "share"

    expect: Literal["effective_sample_size"] = "effective_sample_size"
    at_least: float = Field(0.1, ge=0, le=1, description="Smallest share of the rows to keep.")

    def sentence(self) -> str:
        return f"the weights favour at least {percent(self.at_least)} as many rows as are kept (effective sample size)"

    def measure(self, table: "pd.DataFrame") -> Measurement:
        share = float(table["effective_sample_size"].iloc[0])
        if share != share:
            raise NotApplicable("the strategy weighs no rows")
        why = f"weights that favour {percent(share)} as many rows as are kept; make them less steep, or keep fewer rows"
        return Measurement(share, offenders=[Offender(scope="totals", name="weights", why=why)])


class EffectiveClasses(_Balance, AtLeast):
    """The effective number of classes (Hill number) is a fair share of the largest that the pool allows.

    It is the number of equally large classes that would be as diverse as the version. Order 0 counts the classes with
    rows, 1 is the exponential of the entropy, 2 the inverse Simpson index; a higher order gives large classes more
    weight.
    """

    shown_as: ClassVar[Shown] = "share"

    expect: Literal["effective_classes"] = "effective_classes"
    order: Literal[0, 1, 2] = Field(1, description="Order of the Hill number.")
    at_least: float = Field(
        0.25, ge=0, le=1, description="Smallest share of the number that the most even version has."
    )

    def sentence(self) -> str:
        return (
            f"the effective number of classes of {self.scope} (Hill number of order {self.order}) is at least "
            f"{percent(self.at_least)} of the most that the pool allows"
        )

    def measure(self, table: "pd.DataFrame") -> Measurement:
        rows = pick(table, self.scope)
        after = version_counts(rows, self.scope)
        best = measures.hill(measures.attainable(counts(rows, "before"), after.sum()), self.order)
        best = min(best, after.sum())

        def statistic(sample: measures.Counts) -> float:
            return measures.hill(sample, self.order) / float(best)

        margin = measures.bootstrap_margin(statistic, after) if self.order else 0.0
        return Measurement(statistic(after), margin, offenders=self._overfull(rows, after))

    @property
    def label(self) -> str:
        return f"{self.expect}({self.order}, {self.scope})"
