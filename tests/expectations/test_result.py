"""A result says its verdict, and reads back from the documents of earlier versions."""

import pytest

from evenkeel.expectations.concerns.accounting import TargetReached
from evenkeel.expectations.expectation import Offender, UnknownScope
from evenkeel.expectations.result import Finding, Result, Status, summary, worst_status

OFFENDER = Offender(scope="totals", name="copies", why="40 rows of 50 asked for")
MEASURED = {"reason": "80 % (noise 3 %), at least 90 %", "value": 0.8, "offenders": (OFFENDER,)}


@pytest.mark.parametrize(
    ("severity", "finding", "status"),
    [
        ("block", Finding(success=False, **MEASURED), "failed"),
        ("warn", Finding(success=False, **MEASURED), "warned"),
        ("block", Finding(success=True, **MEASURED), "passed"),
        ("block", Finding(skipped="the recipe's target is not known here"), "skipped"),
        ("warn", Finding(error="no such column"), "failed"),
        ("warn", None, "failed"),
    ],
)
def test_the_verdict_follows_from_finding_and_severity(severity: str, finding: Finding | None, status: Status) -> None:
    result = Result.of(TargetReached.model_validate({"severity": severity}), finding)
    assert result.status == status
    assert bool(result.offenders) == (status in ("failed", "warned") and bool(finding and finding.offenders))


def test_an_unknown_scope_is_an_error() -> None:
    with pytest.raises(UnknownScope, match="target_reached: level-9 is not in the profile"):
        Result.of(TargetReached(), Finding(unknown="level-9 is not in the profile"))


def test_value_noise_and_threshold_are_shown_apart() -> None:
    result = Result.of(TargetReached(at_least=0.5), Finding(success=False, **MEASURED))
    assert (result.found, result.noise, result.threshold) == ("80 %", "noise 3 %", "at least 90 %")
    assert result.statement == "The version has at least 50\u00a0% of the rows asked for"
    skipped = Result.of(TargetReached(), Finding(skipped="the target is not known, alas"))
    assert (skipped.found, skipped.noise, skipped.threshold) == ("the target is not known, alas", "", "")


def test_documents_of_earlier_versions_are_read() -> None:
    result = Result.of(TargetReached(), Finding(success=False, **MEASURED))
    document = result.model_dump(mode="json")
    document["blame"] = document.pop("offenders")
    assert Result.model_validate(document) == result


def test_the_summary_says_whether_the_version_is_blocked() -> None:
    passed = Result.of(TargetReached(), Finding(success=True))
    warned, failed = (passed.model_copy(update={"status": status}) for status in ("warned", "failed"))
    assert summary([passed, passed]) == "All 2 checks passed"
    assert summary([warned, passed]) == "Nothing blocks this version; 1 of 2 checks give a warning"
    assert summary([passed, warned, failed]) == "Blocked: 1 of 3 checks failed"
    assert [worst_status(some) for some in ([], [passed], [passed, warned], [warned, failed])] == [
        "skipped",
        "passed",
        "warned",
        "failed",
    ]
