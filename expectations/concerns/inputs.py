"""Inputs: the shards were readable, few rows were refused, and all come from allowed sources."""

from collections.abc import Iterable
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
from pydantic import Field

from evenkeel.expectations.expectation import (
    MOST_OFFENDERS,
    AtLeast,
    AtMost,
    Measurement,
    Nothing,
    Offender,
    Shown,
    change_since_last,
)
from evenkeel.expectations.outlook import Outlook
from evenkeel.expectations.scopes import counts, offenders_of, pick, share_of
from evenkeel.expectations.wording import percent

if TYPE_CHECKING:
    import pandas as pd


class RowsRead(AtLeast):
    """The source holds enough rows: an empty or truncated delivery is not published as a version."""

    concern: ClassVar[str] = "inputs"
    table: ClassVar[str] = "totals"
    shown_as: ClassVar[Shown] = "rows"

    expect: Literal["rows_read"] = "rows_read"
    at_least: float = Field(1, ge=0, description="Fewest rows.")

    def sentence(self) -> str:
        return f"at least {self.at_least:,.0f} rows were read"

    def foresee(self, outlook: Outlook) -> tuple[str, str] | None:
        if not outlook.exact or outlook.rows >= self.at_least:
            return None
        return f"the source has {outlook.rows:,} rows", "wait for the whole delivery, or lower gates.rows_read"

    def measure(self, table: "pd.DataFrame") -> Measurement:
        return Measurement(float(table["read"].iloc[0]))


class RowCountChange(AtMost):
    """The source has not shrunk or grown by more than a share since the last version."""

    concern: ClassVar[str] = "inputs"
    table: ClassVar[str] = "totals"
    shown_as: ClassVar[Shown] = "share"

    expect: Literal["row_count_change"] = "row_count_change"
    at_most: float = Field(0.5, gt=0, description="Largest relative change, either way.")

    def sentence(self) -> str:
        return f"the rows read have changed by at most {percent(self.at_most)} since the last version"

    def foresee(self, outlook: Outlook) -> tuple[str, str] | None:
        if not outlook.exact or not outlook.last_read:
            return None
        change = outlook.rows / outlook.last_read - 1
        if abs(change) <= self.at_most:
            return None
        why = f"the source has {outlook.rows:,} rows, and had {outlook.last_read:,} in the last version ({change:+.0%})"
        return why, "look at the source, or change gates.row_count_change"

    def measure(self, table: "pd.DataFrame") -> Measurement:
        found = change_since_last(table, "read", lambda value: f"{value:,.0f} rows")
        return replace(found, value=abs(found.value))


class QuarantineRate(AtMost):
    """Few rows were refused: null or duplicate ids, vectors that are not finite or of the wrong length, empty texts."""

    concern: ClassVar[str] = "inputs"
    table: ClassVar[str] = "shards"
    shown_as: ClassVar[Shown] = "share"

    expect: Literal["quarantine_rate"] = "quarantine_rate"
    at_most: float = Field(
        0.01,
        ge=0,
        le=1,
        description="Largest share of rows in quarantine; `source.max_quarantined` where a recipe sets that.",
    )

    def sentence(self) -> str:
        return f"at most {percent(self.at_most)} of the rows read are in quarantine"

    def measure(self, table: "pd.DataFrame") -> Measurement:
        refused = table["quarantined"].to_numpy(dtype=np.float64)
        read = table["rows"].to_numpy(dtype=np.float64)
        rows = table.assign(name=table["uri"])
        offenders = offenders_of(rows, "shard", refused, lambda i: f"{refused[i]:,.0f} of {read[i]:,.0f} rows refused")
        return Measurement(float(refused.sum() / max(read.sum(), 1.0)), offenders=offenders)


class UnreadableShards(AtMost):
    """Few shards were refused as a whole: truncated, of another schema, or missing."""

    concern: ClassVar[str] = "inputs"
    table: ClassVar[str] = "shards"
    shown_as: ClassVar[Shown] = "share"

    expect: Literal["unreadable_shards"] = "unreadable_shards"
    at_most: float = Field(0.01, ge=0, le=1, description="Largest share of shards refused.")

    def sentence(self) -> str:
        return f"at most {percent(self.at_most)} of the shards could not be read"

    def measure(self, table: "pd.DataFrame") -> Measurement:
        if table.empty:
            return Measurement(1.0, offenders=[Offender(scope="source", name="shards", why="the source has no shard")])
        refused = table[table["reason"].astype(str) != ""]
        offenders = [
            Offender(scope="shard", name=str(row.uri), why=str(row.reason))
            for row in refused.head(MOST_OFFENDERS).itertuples()
        ]
        return Measurement(len(refused) / len(table), offenders=offenders)


class AllowedSources(Nothing):
    """Every shard comes from a place on the allow-list."""

    concern: ClassVar[str] = "inputs"
    table: ClassVar[str] = "shards"

    expect: Literal["allowed_sources"] = "allowed_sources"
    allowed: list[str] = Field(min_length=1, description="Patterns such as s3://bucket/licensed/*; * matches anything.")

    def sentence(self) -> str:
        return f"every shard matches one of {', '.join(self.allowed)}"

    def foresee(self, outlook: Outlook) -> tuple[str, str] | None:
        if not (strange := self._strange(outlook.uris)):
            return None
        why = f"{len(strange):,} shards from elsewhere, such as {strange[0]}"
        return why, "change source.uri, or allow it in gates.allowed_sources"

    def _strange(self, uris: Iterable[str]) -> list[str]:
        return [uri for uri in uris if not any(fnmatchcase(uri, one) for one in self.allowed)]

    def measure(self, table: "pd.DataFrame") -> Measurement:
        strange = self._strange(map(str, table["uri"]))
        offenders = [
            Offender(scope="shard", name=uri, why="matches no allowed source") for uri in strange[:MOST_OFFENDERS]
        ]
        return Measurement(float(len(strange)), offenders=offenders)

    def reason(self, found: Measurement) -> str:
        return f"{found.value:,.0f} shards from elsewhere"


class AllowedValues(Nothing):
    """A group column, such as a licence or a consent flag, holds only allowed values in the version."""

    concern: ClassVar[str] = "inputs"
    table: ClassVar[str] = "shares"

    expect: Literal["allowed_values"] = "allowed_values"
    scope: str = Field(pattern=r"^group\..+$", description="group.<column>, such as group.licence.")
    allowed: list[str] = Field(min_length=1, description="Values that may be in the version.")

    def sentence(self) -> str:
        return f"the version holds no {self.scope.removeprefix('group.')} but {', '.join(self.allowed)}"

    def measure(self, table: "pd.DataFrame") -> Measurement:
        rows = pick(table, self.scope)
        after = counts(rows, "after")
        strange = np.where(rows["name"].astype(str).isin(self.allowed), 0.0, after)
        offenders = offenders_of(rows, self.scope, strange, lambda i: share_of(after, after, i))
        return Measurement(float(strange.sum()), offenders=offenders)

    def reason(self, found: Measurement) -> str:
        return f"{found.value:,.0f} rows with another value"
