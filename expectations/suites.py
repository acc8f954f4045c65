"""Suites: named lists of expectations, and how a recipe changes one."""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from pydantic import ValidationError

from evenkeel.expectations.concerns.accounting import DispositionsAddUp, ExclusionsHonoured, TargetReached
from evenkeel.expectations.concerns.balance import (
    EffectiveClasses,
    EffectiveSampleSize,
    FollowsPlan,
    Gini,
    KLUniform,
    LargestShare,
    MisplacedRows,
    NormalisedEntropy,
)
from evenkeel.expectations.concerns.baselines import NoWorseThan
from evenkeel.expectations.concerns.clusters import Coverage, InertiaChange, OversizedCluster, TinyClusters
from evenkeel.expectations.concerns.drift import PSI, KLDrift, LostGroups, MovedRows, WorstGroupChange
from evenkeel.expectations.concerns.duplicates import NearDuplicateRate
from evenkeel.expectations.concerns.inputs import (
    QuarantineRate,
    RowCountChange,
    RowsRead,
    UnreadableShards,
)
from evenkeel.expectations.concerns.privacy import PatternRate
from evenkeel.expectations.expectation import Expectation
from evenkeel.expectations.goals import Goal
from evenkeel.expectations.outlook import Obstacle, Outlook

SuiteName = Literal["auto", "default", "strict", "first-version"]

ALWAYS: tuple[Expectation, ...] = (
    RowsRead(),
    QuarantineRate(),
    UnreadableShards(severity="warn"),
    Coverage(),
    OversizedCluster(severity="warn"),
    TinyClusters(severity="warn"),
    FollowsPlan(),
    MisplacedRows(severity="warn"),
    NoWorseThan(baseline="random"),
    LargestShare(),
    EffectiveClasses(order=1),
    EffectiveClasses(order=2, at_least=0.1, severity="warn"),
    NearDuplicateRate(severity="warn"),
    DispositionsAddUp(),
    ExclusionsHonoured(),
    TargetReached(severity="warn"),
    PatternRate(pattern="email", severity="warn"),
    PatternRate(pattern="phone", severity="warn"),
    PatternRate(pattern="secret", at_most=0.001),
)
AGAINST_LAST: tuple[Expectation, ...] = (
    RowCountChange(severity="warn"),
    InertiaChange(severity="warn"),
    NoWorseThan(baseline="previous", tolerance=0.02),
    PSI(scope="level-1"),
    PSI(scope="groups"),
    MovedRows(scope="groups"),
    WorstGroupChange(severity="warn"),
    LostGroups(),
)
BY_GOAL: tuple[Expectation, ...] = (
    FollowsPlan(scope="cells"),
    NoWorseThan(baseline="random", scope="levels", tolerance=0.0, severity="warn"),
    NoWorseThan(baseline="random", scope="groups", tolerance=0.0, severity="warn"),
    EffectiveSampleSize(),
)
GOALS: dict[str, tuple[Goal, ...]] = {
    "effective_classes": ("balance",),
    "effective_sample_size": ("weights", "target"),
    "largest_share": ("balance",),
    "misplaced_rows": ("balance",),
    "no_worse_than": ("balance",),
}
"""The goals for which `auto` asks for an expectation; what is not named here is asked for always."""
STRICTER: tuple[Expectation, ...] = (
    NormalisedEntropy(at_least=0.9),
    KLUniform(at_most=0.5),
    Gini(at_most=0.4),
    KLDrift(scope="groups"),
    LostGroups(against="pool", min_rows=1000),
)
STRICT_CHANGES: dict[str, dict[str, object]] = {
    "quarantine_rate": {"at_most": 0.001},
    "unreadable_shards": {"at_most": 0.0, "severity": "block"},
    "coverage": {"at_least": 0.99},
    "follows_plan": {"at_most": 0.001},
    "misplaced_rows": {"at_most": 0.1, "severity": "block"},
    "no_worse_than(random, level-1)": {"tolerance": 0.0},
    "effective_classes": {"at_least": 0.5, "severity": "block"},
    "largest_share": {"at_most": 0.01},
    "near_duplicate_rate": {"at_most": 0.01, "severity": "block"},
    "target_reached": {"at_least": 0.99, "severity": "block"},
    "worst_group_change": {"at_most": 0.2, "severity": "block"},
    "inertia_change": {"severity": "block"},
    "pattern_rate": {"severity": "block"},
}


FORMER_NAMES = {
    "giant_cluster": "oversized_cluster",
    "dust": "tiny_clusters",
    "fates_add_up": "dispositions_add_up",
}


def suite(name: SuiteName, goal: Goal = "balance") -> list[Expectation]:
    """Return the expectations of a named suite; those of `auto` follow from the goal of the strategy."""
    if name == "auto":
        return [one for one in automatic() if goal in GOALS.get(one.expect, (goal,))]
    if name == "first-version":
        return list(ALWAYS)
    if name == "default":
        return [*ALWAYS, *AGAINST_LAST]
    return change([*ALWAYS, *AGAINST_LAST, *STRICTER], STRICT_CHANGES)


def automatic() -> list[Expectation]:
    """Return all that `auto` may ask for, whatever the goal."""
    return [*ALWAYS, *BY_GOAL, *AGAINST_LAST]


def obstacles(expectations: Iterable[Expectation], outlook: Outlook) -> list[Obstacle]:
    """Return what cannot pass, in the order of the expectations."""
    found = []
    for one in expectations:
        if (reasons := one.foresee(outlook)) is not None:
            why, remedy = reasons
            found.append(Obstacle(expectation=one.label, severity=one.severity, why=why, remedy=remedy))
    return found


def change(expectations: Sequence[Expectation], changes: Mapping[str, Mapping[str, object]]) -> list[Expectation]:
    """Return the expectations with parameters changed by name. Raises ValueError naming the field and the remedy."""
    _check_known(expectations, changes)
    changed = []
    for one in expectations:
        values = {**changes.get(one.expect, {}), **changes.get(one.label, {})}
        try:
            changed.append(type(one).model_validate({**one.model_dump(), **values}) if values else one)
        except ValidationError as error:
            problem = error.errors()[0]
            field = ".".join(str(part) for part in problem["loc"])
            raise ValueError(f"{one.label}.{field}: {problem['msg']} (found {problem['input']!r})") from error
    return changed


def remove(expectations: Sequence[Expectation], names: Sequence[str]) -> list[Expectation]:
    """Return the expectations without the named ones, by name or label. Raises ValueError for a name it has not."""
    _check_known(expectations, names)
    return [one for one in expectations if one.expect not in names and one.label not in names]


def present_name(name: str) -> str:
    """Return an expectation's name or label as it is now: `dust(level-1)` is `tiny_clusters(level-1)`."""
    former, bracket, scope = name.partition("(")
    return FORMER_NAMES.get(former, former) + bracket + scope


def _check_known(expectations: Sequence[Expectation], names: Iterable[str]) -> None:
    known = sorted({one.expect for one in expectations})
    for name in names:
        if name not in known and name not in {one.label for one in expectations}:
            close = difflib.get_close_matches(name, known, n=1)
            remedy = f"did you mean {close[0]}?" if close else f"it has {', '.join(known)}"
            raise ValueError(f"{name!r} is not in this suite; {remedy}")
