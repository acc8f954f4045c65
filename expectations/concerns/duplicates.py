"""Duplicates: few rows of the version have a near-duplicate."""

from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
from pydantic import Field

from evenkeel.expectations.expectation import AtMost, Measurement, NotApplicable, Shown
from evenkeel.expectations.scopes import offenders_of, pick, version_counts
from evenkeel.expectations.wording import percent

if TYPE_CHECKING:
    import pandas as pd


class NearDuplicateRate(AtMost):
    """Few rows of the version have a near-duplicate in their cluster."""

    concern: ClassVar[str] = "duplicates"
    table: ClassVar[str] = "shares"
    shown_as: ClassVar[Shown] = "share"

    expect: Literal["near_duplicate_rate"] = "near_duplicate_rate"
    at_most: float = Field(0.05, ge=0, le=1, description="Largest share of the version's rows.")

    def sentence(self) -> str:
        return f"at most {percent(self.at_most)} of the version's rows have a near-duplicate in their cluster"

    def measure(self, table: "pd.DataFrame") -> Measurement:
        rows = pick(table, "level-1")
        after = version_counts(rows, "level-1")
        rate = rows["near_duplicate_rate"].to_numpy(dtype=np.float64, na_value=np.nan)
        known = ~np.isnan(rate) & (after > 0)
        if not known.any():
            raise NotApplicable("near-duplicates were not measured")
        doubled = np.where(known, after * np.nan_to_num(rate), 0.0)
        value = float(doubled.sum() / after[known].sum())
        offenders = offenders_of(
            rows, "level-1", doubled, lambda i: f"about {doubled[i]:,.0f} of {after[i]:,.0f} rows ({percent(rate[i])})"
        )
        return Measurement(value, offenders=offenders)
