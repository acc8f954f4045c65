"""The one module that knows Great Expectations: run a suite over tables, write Data Docs, never fail open.

Great Expectations 1.24 drops an expectation whose class it cannot find, silently, and calls what is left a success. So
every expectation carries its number, and one that was not evaluated, or raised, counts as failed.
"""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict

from evenkeel.expectations.expectation import Blame, Expectation, Severity, UnknownScope

if TYPE_CHECKING:
    import pandas as pd

Status = Literal["passed", "failed", "warned", "skipped"]


class Result(BaseModel):
    """What became of one expectation."""

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
    blame: tuple[Blame, ...] = ()


def evaluate(
    expectations: Sequence[Expectation],
    tables: Mapping[str, "pd.DataFrame"],
    site: Path | None = None,
    illustrate: Callable[[list[Result]], list[Result]] = list,
) -> list[Result]:
    """Return one result per expectation, in order; Data Docs are written to the folder `site`.

    illustrate: puts rows to look at beside the culprits, before the Data Docs are written.
    Raises UnknownScope where an expectation names something that the tables do not have: a suite that cannot be read as
    it was meant is never passed.
    """
    from evenkeel.expectations.great import Project

    outcomes: dict[int, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory(prefix="evenkeel-gates-") as folder:
        context = Project(Path(folder), site)
        for name, table, numbers in _parts(expectations):
            outcomes |= context.validate(name, tables[table], {number: expectations[number] for number in numbers})
        results = illustrate([_result(one, outcomes.get(number)) for number, one in enumerate(expectations)])
        context.write_docs(results)
    return results


def _parts(expectations: Sequence[Expectation]) -> list[tuple[str, str, list[int]]]:
    """Return (name, table, numbers) for every concern and table, so that each becomes one page of the Data Docs."""
    numbered = sorted(enumerate(expectations), key=lambda item: (item[1].concern, item[1].table, item[0]))
    parts = []
    for (concern, table), items in groupby(numbered, key=lambda item: (item[1].concern, item[1].table)):
        parts.append((f"{concern}-{table}", table, [number for number, _ in items]))
    return parts


def _result(one: Expectation, outcome: Mapping[str, Any] | None) -> Result:
    facts: dict[str, Any] = {
        "expectation": one.expect,
        "label": one.label,
        "concern": one.concern,
        "severity": one.severity,
        "sentence": one.sentence(),
    }
    failed: Status = "failed" if one.severity == "block" else "warned"
    if outcome is None:
        return Result(**facts, status="failed", reason="it was not evaluated, which counts as failed")
    if "error" in outcome:
        return Result(**facts, status="failed", reason=f"it could not be evaluated: {outcome['error']}")
    if "unknown" in outcome:
        raise UnknownScope(f"{one.label}: {outcome['unknown']}")
    if "skipped" in outcome:
        return Result(**facts, status="skipped", reason=f"not checked: {outcome['skipped']}")
    measured = {name: outcome[name] for name in ("value", "margin", "limit", "reason")}
    if outcome["success"]:
        return Result(**facts, **measured, status="passed")
    return Result(**facts, **measured, status=failed, blame=tuple(Blame(**item) for item in outcome["blame"]))
