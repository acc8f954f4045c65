"""Accounting: every row read has one disposition, exclusions are out, and the target was met."""

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from evenkeel.expectations.expectation import AtLeast, AtMost, Measurement, NotApplicable, Nothing, Offender, Shown
from evenkeel.expectations.outlook import Outlook
from evenkeel.expectations.wording import percent

if TYPE_CHECKING:
    import pandas as pd

DISPOSITIONS = ("kept", "deduplicated", "filtered", "not_sampled", "quarantined")


class DispositionsAddUp(Nothing):
    """Rows kept, deduplicated, filtered, not sampled and quarantined add up to those read: none lost or twice."""

    concern: ClassVar[str] = "accounting"
    table: ClassVar[str] = "totals"

    expect: Literal["dispositions_add_up"] = "dispositions_add_up"

    def sentence(self) -> str:
        return "rows kept, deduplicated, filtered, not sampled and quarantined add up to the rows read"

    def measure(self, table: "pd.DataFrame") -> Measurement:
        row = table.iloc[0]
        short = int(row["read"]) - sum(int(row.get(name, 0)) for name in DISPOSITIONS)
        parts = " + ".join(f"{int(row.get(name, 0)):,} {name.replace('_', ' ')}" for name in DISPOSITIONS)
        return Measurement(
            float(short), offenders=[Offender(scope="totals", name="read", why=f"{int(row['read']):,} read, {parts}")]
        )

    def reason(self, found: Measurement) -> str:
        return "they do" if found.value == 0 else f"{found.value:+,.0f} rows unaccounted for"


class MadeShare(AtMost):
    """Rows that were made, such as by SMOTE, are at most a share of the version's rows, real and made."""

    concern: ClassVar[str] = "accounting"
    table: ClassVar[str] = "totals"

    expect: Literal["made_share"] = "made_share"
    at_most: float = Field(0.2, ge=0, le=1, description="Largest share of made rows among kept and made ones.")

    def sentence(self) -> str:
        return f"at most {percent(self.at_most)} of the rows are made ones"

    def measure(self, table: "pd.DataFrame") -> Measurement:
        row = table.iloc[0]
        made = row.get("made", float("nan"))
        if made != made:
            raise NotApplicable("the recipe makes no rows")
        share = float(made) / max(1.0, float(made) + float(row["kept"]))
        why = f"{made:,.0f} rows are made, {row['kept']:,.0f} are kept"
        return Measurement(share, offenders=[Offender(scope="totals", name="made", why=why)])


class ExclusionsHonoured(AtMost):
    """No row of an exclusion or takedown list is in the version."""

    concern: ClassVar[str] = "accounting"
    table: ClassVar[str] = "totals"
    shown_as: ClassVar[Shown] = "rows"

    expect: Literal["exclusions_honoured"] = "exclusions_honoured"
    at_most: float = Field(0, ge=0, description="Rows of an exclusion list that may be kept.")

    def sentence(self) -> str:
        return "no excluded row is in the version"

    def measure(self, table: "pd.DataFrame") -> Measurement:
        kept = table["excluded_kept"].iloc[0]
        if kept != kept:
            raise NotApplicable("the step that drops excluded rows was not given")
        why = f"{kept:,.0f} excluded rows are in the version"
        return Measurement(float(kept), offenders=[Offender(scope="totals", name="excluded", why=why)] if kept else [])


class TargetReached(AtLeast):
    """The version holds nearly as many rows as the recipe asks for."""

    concern: ClassVar[str] = "accounting"
    table: ClassVar[str] = "totals"
    shown_as: ClassVar[Shown] = "share"

    expect: Literal["target_reached"] = "target_reached"
    at_least: float = Field(0.9, ge=0, le=1, description="Smallest share of the target.")

    def sentence(self) -> str:
        return f"the version has at least {percent(self.at_least)} of the rows asked for"

    def foresee(self, outlook: Outlook) -> tuple[str, str] | None:
        if outlook.most >= self.at_least * outlook.kept:
            return None
        return (
            f"at most {outlook.most:,} of the {outlook.kept:,} rows asked for can be kept",
            "lower sampling.target, or raise sampling.cap or sampling.max_repeats",
        )

    def measure(self, table: "pd.DataFrame") -> Measurement:
        copies, target = float(table["copies"].iloc[0]), float(table["target"].iloc[0])
        if not target > 0:
            raise NotApplicable("the recipe's target is not known here")
        why = f"{copies:,.0f} rows of {target:,.0f} asked for"
        return Measurement(copies / target, offenders=[Offender(scope="totals", name="copies", why=why)])
