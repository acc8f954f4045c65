"""The results of a suite: what each expectation found, the verdict, and how both read on a page."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict, model_validator

from evenkeel.expectations.expectation import Expectation, Offender, Severity, UnknownScope

Status = Literal["failed", "warned", "passed", "skipped"]
STATUSES: tuple[Status, ...] = ("failed", "warned", "passed", "skipped")
SIGNS: Mapping[Status, str] = {"failed": "✕", "warned": "!", "passed": "✓", "skipped": "–"}
NOT_CHECKED = "not checked: "


class Finding(BaseModel):
    """The outcome of evaluating one expectation: a measurement, or the reason why there is none.

    skipped: why the expectation does not apply here. unknown: which scope the data does not have. error: what was
    raised. Each is empty where it is not so.
    """

    model_config = ConfigDict(frozen=True)

    success: bool = False
    reason: str = ""
    value: float | None = None
    margin: float = 0.0
    limit: float | None = None
    offenders: tuple[Offender, ...] = ()
    skipped: str = ""
    unknown: str = ""
    error: str = ""


class Result(BaseModel):
    """The verdict on one expectation, with the measurement behind it."""

    model_config = ConfigDict(frozen=True)

    expectation: str
    label: str
    concern: str
    severity: Severity
    status: Status
    sentence: str
    reason: str
    value: float | None = None
    margin: float = 0.0
    limit: float | None = None
    offenders: tuple[Offender, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _with_field_of_today(cls, document: object) -> object:
        """Let documents of earlier versions be read, where `offenders` was `blame`."""
        if isinstance(document, dict) and "blame" in document:
            return {"offenders": document["blame"], **{name: document[name] for name in document if name != "blame"}}
        return document

    @classmethod
    def of(cls, one: Expectation, finding: Finding | None) -> "Result":
        """Return the verdict on an expectation; no finding, or one that raised, counts as failed.

        Raises UnknownScope where the expectation names a scope that the data does not have.
        """
        if finding is None:
            return cls._of(one, "failed", "it was not evaluated, which counts as failed")
        if finding.error:
            return cls._of(one, "failed", f"it could not be evaluated: {finding.error}")
        if finding.unknown:
            raise UnknownScope(f"{one.label}: {finding.unknown}")
        if finding.skipped:
            return cls._of(one, "skipped", f"{NOT_CHECKED}{finding.skipped}")
        failed: Status = "failed" if one.severity == "block" else "warned"
        result = cls._of(one, "passed" if finding.success else failed, finding.reason)
        measured = {"value": finding.value, "margin": finding.margin, "limit": finding.limit}
        return result.model_copy(update={**measured, "offenders": () if finding.success else finding.offenders})

    @classmethod
    def _of(cls, one: Expectation, status: Status, reason: str) -> "Result":
        return cls(
            expectation=one.expect,
            label=one.label,
            concern=one.concern,
            severity=one.severity,
            status=status,
            sentence=one.sentence(),
            reason=reason,
        )

    @property
    def sign(self) -> str:
        """The sign that stands before the verdict."""
        return SIGNS[self.status]

    @property
    def statement(self) -> str:
        """The expectation as the start of a sentence."""
        return self.sentence[:1].upper() + self.sentence[1:]

    @property
    def found(self) -> str:
        """The measured value without noise and threshold, or the reason why nothing was measured."""
        if self.value is None:
            return self.reason.removeprefix(NOT_CHECKED)
        return self.reason.partition(", ")[0].partition(" (noise ")[0]

    @property
    def noise(self) -> str:
        """How far sampling alone may move the value, "" where it cannot."""
        _, found, rest = self.reason.partition(" (noise ")
        return f"noise {rest.partition(')')[0]}" if found else ""

    @property
    def threshold(self) -> str:
        """The threshold that applied, "" where the sentence names it already."""
        limit = "" if self.value is None else self.reason.partition(", ")[2]
        return "" if limit.removeprefix("at most ").removeprefix("at least ") in self.sentence else limit


def count_by_status(results: Iterable[Result]) -> dict[Status, int]:
    """Return how many results have each status, failures first."""
    statuses = [one.status for one in results]
    return {status: statuses.count(status) for status in STATUSES}


def worst_status(results: Iterable[Result]) -> Status:
    """Return the most serious status of some results; "skipped" where there are none."""
    return next((status for status, count in count_by_status(results).items() if count), "skipped")


def worst_first(results: Iterable[Result]) -> list[Result]:
    """Return the results in order of their status, failures first."""
    return sorted(results, key=lambda one: STATUSES.index(one.status))


def summary(results: Sequence[Result]) -> str:
    """Return the verdict on a whole suite in one sentence, without a full stop."""
    start = {"failed": "Blocked: ", "warned": "Nothing blocks this version; "}.get(worst_status(results), "")
    return f"{start}{tally(results)}"


def tally(results: Sequence[Result]) -> str:
    """Return how many of some checks failed or warned, in words."""
    counts = count_by_status(results)
    checked = len(results) - counts["skipped"]
    if counts["failed"]:
        return f"{counts['failed']:,} of {checked:,} checks failed"
    if counts["warned"]:
        return f"{counts['warned']:,} of {checked:,} checks give a warning"
    if not counts["passed"]:
        return "Nothing was checked"
    return f"All {checked:,} checks passed" if checked > 1 else "The only check passed"
