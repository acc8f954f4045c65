"""Fairness: a metric, or the chance of being kept, is alike in all groups (the disaggregated metrics of Fairlearn)."""

import math
from typing import TYPE_CHECKING, ClassVar, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from evenkeel.expectations import measures
from evenkeel.expectations.concerns.properties import VACUOUS, StatedProperty
from evenkeel.expectations.expectation import MOST_OFFENDERS, Measurement, NotApplicable, Offender

if TYPE_CHECKING:
    import pandas as pd

BOUNDS = ("worst_at_least", "worst_at_most", "ratio_at_least", "difference_at_most")
HOW: dict[str, measures.Between] = {
    "worst_at_least": "lowest",
    "worst_at_most": "highest",
    "ratio_at_least": "ratio",
    "difference_at_most": "difference",
}
COMPARED = ("ratio_at_least", "difference_at_most")
NAMES = {
    "worst_at_least": "the lowest",
    "worst_at_most": "the highest",
    "ratio_at_least": "the ratio of lowest to highest",
    "difference_at_most": "the difference of highest and lowest",
}
ROUNDING = 1e-12


class ByGroup(StatedProperty):
    """Base of expectations that compare a mean between groups: exactly one bound, and the noise of the means."""

    concern: ClassVar[str] = "fairness"

    group: str | list[str] = Field(description="Column whose values are the groups, or several.")
    worst_at_least: float | None = Field(None, description="Smallest value that a group may have.")
    worst_at_most: float | None = Field(None, description="Largest value that a group may have.")
    ratio_at_least: float | None = Field(None, ge=0, le=1, description="Smallest ratio of the lowest to the highest.")
    difference_at_most: float | None = Field(None, ge=0, description="Largest difference of highest and lowest.")
    min_rows: int = Field(1, ge=1, description="A group with fewer rows is left out, and named.")
    confidence: float = Field(
        0.95, ge=0, lt=1, description="Of the interval whose noise is allowed for; 0 = none is allowed for."
    )

    @model_validator(mode="after")
    def _one_bound(self) -> Self:
        given = [name for name in BOUNDS if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"expected exactly one of {', '.join(BOUNDS)}, found {' and '.join(given) or 'none'}")
        if not self.columns or len(set(self.columns)) < len(self.columns):
            raise ValueError("group names one column, or several, each once")
        return self

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that make the groups."""
        return (self.group,) if isinstance(self.group, str) else tuple(self.group)

    @property
    def what(self) -> str:
        """What is compared, in words."""
        raise NotImplementedError

    @property
    def label(self) -> str:
        return f"{self.expect}({', '.join(self.columns)}, {self._kind.partition('_')[0]})"

    def sentence(self) -> str:
        side = "at least" if self._is_floor else "at most"
        return f"{NAMES[self._kind]} {self.what} by {' and '.join(self.columns)} is {side} {self._bound:g}"

    def holds(self, found: Measurement) -> bool:
        rounding = ROUNDING * max(1.0, abs(self._bound))
        if self._is_floor:
            return found.value + found.margin + rounding >= self._bound
        return found.value - found.margin - rounding <= self._bound

    def reason(self, found: Measurement) -> str:
        if found.value != found.value:
            return found.offenders[-1].why if found.offenders else VACUOUS
        noise = f" (noise {found.margin:.2g})" if found.margin else ""
        side = "at least" if self._is_floor else "at most"
        said = found.offenders[-1].why
        return f"{found.value:.4g}{noise}, {side} {self._bound:g}{'; ' + said if said else ''}"

    def measure(self, table: "pd.DataFrame") -> Measurement:
        rows = table[table["key"] == self.key]
        if rows.empty:
            raise NotApplicable("it was not counted: the rows that were not kept are not here")
        row = rows.iloc[0]
        names, means = np.array(row["names"], object), np.asarray(row["means"], np.float64)
        count = np.asarray(row["rows"], np.int64)
        used = (count >= self.min_rows) & ~np.isnan(means[:, 0])
        left_out = ", ".join(f"{names[at]} ({count[at]:,})" for at in np.flatnonzero(~used)[:MOST_OFFENDERS])
        if used.sum() < (2 if self._kind in COMPARED else 1):
            why = f"{VACUOUS}: {int(used.sum())} group(s) with rows" + (f"; left out: {left_out}" if left_out else "")
            return Measurement(math.nan, offenders=[Offender(scope="groups", name=", ".join(self.columns), why=why)])
        names, means, count = names[used], means[used], count[used]
        values = measures.between_groups(means, HOW[self._kind])
        value, replicates = float(values[0]), values[1:][~np.isnan(values[1:])]
        low, high = self._interval(replicates) if len(replicates) else (value, value)
        margin = max(0.0, value - low if self._is_floor else high - value) if self.confidence else 0.0
        alone = ", ".join(map(str, names[count == 1][:MOST_OFFENDERS]))
        words = [
            f"{self.confidence:.0%} interval {low:.4g} to {high:.4g}" if self.confidence else "",
            f"one row alone in {alone}" if alone else "",
            f"left out, with fewer than {self.min_rows:,} rows or no value: {left_out}" if left_out else "",
        ]
        said = "; ".join(word for word in words if word)
        order = np.argsort(means[:, 0] if self._kind != "worst_at_most" else -means[:, 0], kind="stable")
        offenders = [
            Offender(scope=", ".join(self.columns), name=str(names[at]), why=_of_group(means[at, 0], count[at]))
            for at in order[: MOST_OFFENDERS - 1].tolist()
        ]
        offenders.append(Offender(scope="groups", name="all", why=said))
        return Measurement(value, margin, self._bound, offenders)

    def _interval(self, replicates: measures.Counts) -> tuple[float, float]:
        tail = (1 - self.confidence) / 2
        low, high = np.quantile(replicates, [tail, 1 - tail])
        return float(low), float(high)

    @property
    def _kind(self) -> str:
        return next(name for name in BOUNDS if getattr(self, name) is not None)

    @property
    def _bound(self) -> float:
        return float(getattr(self, self._kind))

    @property
    def _is_floor(self) -> bool:
        return self._kind.endswith("at_least")


class MetricByGroup(ByGroup):
    """A metric is alike in all groups of the version: its worst group, the ratio or the difference between groups.

    The metric is the mean of a number, `mean(correct)`, or the share of rows for which a condition holds,
    `share(prediction == label)`; rows without a value are left out of a mean. The verdict allows for the noise of a
    Poisson bootstrap of 200 replicates. A group of one row is said.
    """

    expect: Literal["metric_by_group"] = "metric_by_group"
    metric: str = Field(description="mean(number) or share(condition), in the grammar of expressions.", min_length=1)

    @property
    def key(self) -> str:
        return f"{self.metric} by {', '.join(self.columns)}"

    @property
    def label(self) -> str:
        return f"{self.expect}({self.metric}, {', '.join(self.columns)}, {self._kind.partition('_')[0]})"

    @property
    def what(self) -> str:
        return self.metric


class SelectionRate(ByGroup):
    """Rows of every group had a like chance to be in the version: kept rows over rows that sampling chose from.

    `of: pool` counts from all rows of the pool, so that what filters and deduplication remove counts too. A row counts
    once, however many copies of it there are.
    """

    expect: Literal["selection_rate"] = "selection_rate"
    of: Literal["sampling", "pool"] = Field(
        "sampling", description="sampling: of the rows that sampling chose from; pool: of all rows that were read."
    )

    @property
    def key(self) -> str:
        return f"selection of {self.of} by {', '.join(self.columns)}"

    @property
    def what(self) -> str:
        return "selection rate" + (" of all rows read" if self.of == "pool" else "")


def _of_group(mean: float, rows: int) -> str:
    return f"{mean:.4g} ({rows:,} row{'' if rows == 1 else 's'})"
