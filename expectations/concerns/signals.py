"""Signals: the numbers of a signal or score in the version are as they should be, in every group."""

import math
from typing import TYPE_CHECKING, ClassVar, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from evenkeel.expectations import measures
from evenkeel.expectations.expectation import (
    MOST_OFFENDERS,
    Expectation,
    Measurement,
    NotApplicable,
    Offender,
    UnknownScope,
)
from evenkeel.expectations.wording import percent

if TYPE_CHECKING:
    import pandas as pd

BOUNDS = ("mean_at_least", "mean_at_most", "below", "above", "missing_at_most")
ROUNDING = 1e-9


class SignalBound(Expectation):
    """The mean of a signal or score in the version is within a bound, or few of its rows are beyond a limit.

    Exactly one of `mean_at_least`, `mean_at_most`, `below`, `above` and `missing_at_most`. With `by`, every value of a
    group column is held to it, and the value is that of the worst. Copies count. Rows without a value are left out,
    except of `missing_at_most`.
    """

    concern: ClassVar[str] = "signals"
    table: ClassVar[str] = "signals"

    expect: Literal["signal"] = "signal"
    name: str = Field(description="The signal or score.", min_length=1)
    mean_at_least: float | None = Field(None, description="Smallest mean.", allow_inf_nan=False)
    mean_at_most: float | None = Field(None, description="Largest mean.", allow_inf_nan=False)
    below: float | None = Field(
        None, description="A limit: at most the share `at_most` is below it.", allow_inf_nan=False
    )
    above: float | None = Field(
        None, description="A limit: at most the share `at_most` is above it.", allow_inf_nan=False
    )
    at_most: float = Field(0.0, ge=0, le=1, description="With below or above: largest share of the rows beyond it.")
    missing_at_most: float | None = Field(None, ge=0, le=1, description="Largest share of rows without a value.")
    by: str = Field(
        "",
        pattern=r"^(group\..+)?$",
        description="group.<column>: each of its values is held to the bound. Empty = the whole version.",
    )

    @model_validator(mode="after")
    def _one_bound(self) -> Self:
        given = [name for name in BOUNDS if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"expected exactly one of {', '.join(BOUNDS)}, found {' and '.join(given) or 'none'}")
        if self.at_most and given[0] not in ("below", "above"):
            raise ValueError("at_most is the share of rows below or above a limit; give below or above")
        return self

    @property
    def label(self) -> str:
        by = f", by {self.by}" if self.by else ""
        return f"{self.expect}({self.name}, {self._kind}{by})"

    def sentence(self) -> str:
        by = f" in every {self.by}" if self.by else ""
        if self._share is not None:
            what = f"no value of {self.name}" if self._kind == "missing" else f"a {self.name} {self._kind}"
            return f"at most {percent(self._share)} of the rows have {what}{by}"
        return f"the mean of {self.name} is {self._side} {self._bound:g}{by}"

    def measure(self, table: "pd.DataFrame") -> Measurement:
        rows = table[table["name"] == self.name] if len(table) else table
        if rows.empty:
            raise NotApplicable(f"{self.name} was not counted: the files of the version do not hold it")
        rows = rows[rows["by"] == self.by]
        for limit in ("below", "above"):
            rows = rows[_same(rows[limit], getattr(self, limit))] if len(rows) else rows
        if rows.empty:
            raise UnknownScope(f"no row of the version was counted for {self.label}")
        rows = rows.reset_index(drop=True)
        known: measures.Counts = (rows["rows"] - rows["missing"]).to_numpy(np.float64)
        counted = rows["rows"].to_numpy(np.float64) if self._kind == "missing" else known
        there = counted > 0
        if not there.any():
            why = f"no row of the version has a value; the pool's is {self.show(self._value(rows, 'pool_')[0])}"
            return Measurement(math.nan, limit=self._bound, offenders=[_offender(self, rows, 0, why)])
        value = self._value(rows, "")
        margin = self._margin(rows, counted)
        sign = 1.0 if self._side == "at least" else -1.0
        slack = np.where(there, sign * (value - self._bound) + margin, np.inf)
        order = np.argsort(slack, kind="stable")
        bad = [int(place) for place in order[:MOST_OFFENDERS] if slack[place] < 0] or [int(order[0])]
        pool = self._value(rows, "pool_")
        offenders = [
            _offender(self, rows, at, f"{self.show(value[at])} of {counted[at]:,.0f} rows; pool {self.show(pool[at])}")
            for at in bad
        ]
        worst = bad[0]
        return Measurement(float(value[worst]), float(margin[worst]), self._bound, offenders)

    def holds(self, found: Measurement) -> bool:
        rounding = ROUNDING * max(abs(found.value), abs(self._bound))
        if self._side == "at least":
            return found.value + found.margin + rounding >= self._bound
        return found.value - found.margin - rounding <= self._bound

    def show(self, value: float) -> str:
        return percent(value) if self._share is not None else f"{value:.4g}"

    def reason(self, found: Measurement) -> str:
        noise = f" (noise {self.show(found.margin)})" if found.margin else ""
        worst = f", worst in {found.offenders[0].name}" if self.by and found.offenders else ""
        return f"{self.show(found.value)}{noise}, {self._side} {self.show(self._bound)}{worst}"

    @property
    def _kind(self) -> str:
        """What is bounded: mean, missing, or the share beyond a limit, such as "below 0.3"."""
        if self.below is not None or self.above is not None:
            return f"below {self.below:g}" if self.below is not None else f"above {self.above:g}"
        return "missing" if self.missing_at_most is not None else "mean"

    @property
    def _side(self) -> str:
        return "at least" if self.mean_at_least is not None else "at most"

    @property
    def _share(self) -> float | None:
        """The largest share of rows, None where the mean is bounded."""
        if self.below is not None or self.above is not None:
            return self.at_most
        return self.missing_at_most

    @property
    def _bound(self) -> float:
        one = self.mean_at_least if self.mean_at_least is not None else self.mean_at_most
        return float(one if one is not None else self._share or 0.0)

    def _value(self, rows: "pd.DataFrame", prefix: str) -> measures.Counts:
        """Return what is bounded, of each line, (n,) float64; NaN where no row has a value."""
        if self._share is None:
            mean: measures.Counts = rows[f"{prefix}mean"].to_numpy(np.float64)
            return mean
        part = rows[f"{prefix}missing" if self._kind == "missing" else f"{prefix}beyond"].to_numpy(np.float64)
        whole = rows[f"{prefix}rows"].to_numpy(np.float64)
        whole = whole if self._kind == "missing" else whole - rows[f"{prefix}missing"].to_numpy(np.float64)
        return np.where(whole > 0, part / np.maximum(whole, 1), np.nan)

    def _margin(self, rows: "pd.DataFrame", counted: measures.Counts) -> measures.Counts:
        """Return how far a draw of so many rows may set each value apart from that of the group it is drawn from.

        A mean by the deviation inside groups, pooled, as that of a few rows says little; a share by that of the bound.
        """
        if self._share is not None:
            deviation = math.sqrt(self._share * (1 - self._share))
        else:
            free = np.maximum(counted - 1, 0)
            squares = float((free * rows["deviation"].fillna(0).to_numpy(np.float64) ** 2).sum())
            deviation = math.sqrt(squares / max(float(free.sum()), 1.0))
        return measures.noise_quantile(len(counted)) * deviation / np.sqrt(np.maximum(counted, 1))


def _same(column: "pd.Series[float]", limit: float | None) -> "pd.Series[bool]":
    return column.isna() if limit is None else column == limit


def _offender(one: SignalBound, rows: "pd.DataFrame", at: int, why: str) -> Offender:
    return Offender(scope=one.by or "signal", name=str(rows["value"][at]) if one.by else one.name, why=why)
