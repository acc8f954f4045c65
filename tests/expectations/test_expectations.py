"""Every expectation passes on a good version, fails on the fault it is there for, names the offender, and says so."""

import re
from typing import Annotated, Any

import pandas as pd
import pytest
from pydantic import TypeAdapter, ValidationError

from evenkeel.expectations.expectation import EXPECTATIONS, Expectation, NotApplicable, UnknownScope
from evenkeel.infra.registry import MemberOf
from tests.expectations.profiles import changed, planted, tables, totals

EVERY = TypeAdapter[Expectation](Annotated[Expectation, MemberOf(EXPECTATIONS)])
Tables = dict[str, pd.DataFrame]


def shards(**values: Any) -> Tables:
    frame = tables()["shards"]
    for column, value in values.items():
        frame.loc[2, column] = value
    return tables(shares=tables()["shares"], shards=frame)


def hits(pattern: str) -> Tables:
    frame = tables()["patterns"]
    frame.loc[frame["pattern"] == pattern, "hits"] = 400
    return tables(patterns=frame)


def stage(name: str, entropy: float, scope: str = "level-1") -> Tables:
    frame = tables()["baselines"]
    frame.loc[(frame["stage"] == name) & (frame["scope"] == scope), "entropy"] = entropy
    return tables(baselines=frame)


def crowded(scope: str = "level-1", name: str = "399", share: float = 0.2) -> Tables:
    return tables(shares=planted(tables()["shares"], scope, name, share))


def every_cluster(column: str, value: float) -> Tables:
    frame = tables()["shares"]
    frame.loc[frame["scope"] == "level-1", column] = value
    return tables(shares=frame)


def one_sided(concept: str) -> Tables:
    """Return tables in which nine in ten rows of a concept, the largest, have one value of the attribute."""
    frame = tables()["joint"]
    here = frame["concept"] == concept
    frame.loc[here, "after"] = 10
    frame.loc[here & (frame["attribute"] == "a2"), "after"] = 5000
    return tables(joint=frame)


def far(by: str) -> Tables:
    frame = tables()["distances"]
    frame.loc[frame["by"] == by, "after"] = 0.5
    return tables(distances=frame)


def one_group(column: str, value: float) -> Tables:
    frame = tables()["signals"]
    frame.loc[frame["value"] == "lang-03", column] = value
    return tables(signals=frame)


def broken(name: str) -> Tables:
    """Return tables in which 30 of 100 rows, groups or cells break what is stated."""
    frame = tables()["properties"]
    found = {"scope": "row", "name": name, "why": "length = 0", "examples": ("the text",)}
    return tables(properties=frame.assign(broken=30, counterexamples=pd.Series([[found]] * len(frame), dtype=object)))


def unexpected(name: str) -> Tables:
    """Return tables in which one of 100 rows is not as Great Expectations was asked for."""
    found = pd.Series([[{"scope": "row", "name": name, "why": "city = null"}]], dtype=object)
    return tables(built_in=tables()["built_in"].assign(success=False, unexpected=1, unexpected_rows=found))


def unfair() -> Tables:
    """Return tables in which one of two groups has a mean of 0.2, the other one of 0.9."""
    frame = tables()["properties"]
    means = pd.Series([[[0.2], [0.9]] for _ in range(len(frame))], dtype=object)
    return tables(properties=frame.assign(means=means))


LANGUAGE = "group.language"
TARGET_SHARES = {f"lang-{n:02d}": round(1 / (n + 1) / 4.27854, 6) for n in range(40)}
FAULTS: list[tuple[dict[str, Any], Tables, str | None]] = [
    ({"expect": "rows_read", "at_least": 1000}, totals(read=10), None),
    ({"expect": "row_count_change"}, totals(previous_read=10_000), "read"),
    ({"expect": "quarantine_rate"}, shards(quarantined=5000), "s3://pool/2.parquet"),
    ({"expect": "unreadable_shards"}, shards(reason="truncated"), "s3://pool/2.parquet"),
    ({"expect": "allowed_sources", "allowed": ["s3://pool/*"]}, shards(uri="s3://other/9.parquet"), "s3://other/9.parquet"),
    (
        {"expect": "allowed_values", "scope": LANGUAGE, "allowed": [f"lang-{n:02d}" for n in range(40)]},
        changed("name", "lang-03", "tlh", LANGUAGE),  # type: ignore[arg-type]
        "tlh",
    ),
    ({"expect": "coverage", "at_least": 0.999}, changed("after", "7", 0), "7"),
    ({"expect": "oversized_cluster"}, changed("before", "0", 60_000), "0"),
    ({"expect": "tiny_clusters", "at_most": 0.1}, every_cluster("before", 1), "0"),
    ({"expect": "inertia_change"}, totals(inertia=0.3), "inertia"),
    ({"expect": "follows_plan"}, crowded(), "399"),
    ({"expect": "follows_plan", "scope": "cells"}, crowded("cells", "1"), "1"),
    ({"expect": "effective_sample_size"}, totals(effective_sample_size=0.01), "weights"),
    ({"expect": "misplaced_rows", "at_most": 0.1}, crowded(), "399"),
    ({"expect": "normalised_entropy"}, crowded(share=0.6), "399"),
    ({"expect": "signal", "name": "quality", "mean_at_least": 0.4, "by": LANGUAGE}, one_group("mean", 0.1), "lang-03"),
    ({"expect": "signal", "name": "quality", "mean_at_most": 0.6, "by": LANGUAGE}, one_group("mean", 0.9), "lang-03"),
    (
        {"expect": "signal", "name": "quality", "below": 0.2, "at_most": 0.1, "by": LANGUAGE},
        one_group("beyond", 90),
        "lang-03",
    ),
    (
        {"expect": "signal", "name": "quality", "missing_at_most": 0.05, "by": LANGUAGE},
        one_group("missing", 90),
        "lang-03",
    ),
    ({"expect": "conditional_entropy", "scope": "group.style", "given": "tags.words"}, one_sided("c5"), "c5"),
    ({"expect": "distance"}, far("mmd"), "mmd"),
    ({"expect": "distance", "by": "transport", "at_most": 0.75}, far("transport"), "transport"),
    ({"expect": "distance", "to": "pool"}, far("mmd"), "mmd"),
    ({"expect": "distance", "to": "last-version", "by": "kl"}, far("kl"), "kl"),
    ({"expect": "distance", "to": "target", "better_than": None, "at_most": 0.3}, far("mmd"), "mmd"),
    ({"expect": "holds", "property": "length > 0"}, broken("row-7"), "row-7"),
    ({"expect": "covers", "over": {"x": 10}, "at_least": 0.95}, broken("x 0 to 1"), "x 0 to 1"),
    (
        {"expect": "metric_by_group", "metric": "mean(correct)", "group": "sex", "difference_at_most": 0.3},
        unfair(),
        "f",
    ),
    (
        {
            "expect": "great_expectations",
            "type": "expect_column_values_to_not_be_null",
            "kwargs": {"column": "city"},
        },
        unexpected("row-7"),
        "row-7",
    ),
    ({"expect": "dependency", "left": ["zip"], "right": "city", "at_least": 0.99}, broken("53115"), "53115"),
    ({"expect": "uniques", "columns": ["id"]}, broken("n5"), "n5"),
    ({"expect": "typos", "column": "city"}, broken("Berlim"), "Berlim"),
    ({"expect": "selection_rate", "group": "sex", "ratio_at_least": 0.8}, unfair(), "f"),
    ({"expect": "kl_uniform"}, crowded(share=0.4), "399"),
    (
        {"expect": "kl_target", "scope": LANGUAGE, "target": TARGET_SHARES},
        crowded(LANGUAGE, "lang-30"),
        "lang-30",
    ),
    ({"expect": "gini"}, crowded(share=0.6), "399"),
    ({"expect": "largest_share"}, crowded(), "399"),
    (
        {"expect": "smallest_share", "scope": LANGUAGE, "at_least": 0.001},
        changed("after", "lang-20", 0, LANGUAGE),
        "lang-20",
    ),
    ({"expect": "effective_classes", "order": 1}, crowded(share=0.7), "399"),
    ({"expect": "effective_classes", "order": 2}, crowded(share=0.3), "399"),
    ({"expect": "no_worse_than"}, stage("after", 0.7), "random"),
    ({"expect": "no_worse_than", "scope": "levels"}, stage("after", 0.7), "random"),
    ({"expect": "no_worse_than", "scope": "groups"}, stage("after", 0.7, LANGUAGE), "random"),
    ({"expect": "no_worse_than", "baseline": "previous"}, stage("previous", 1.05), "previous"),
    ({"expect": "psi", "scope": "level-1"}, crowded(), "399"),
    ({"expect": "kl_drift", "scope": LANGUAGE}, crowded(LANGUAGE, "lang-30"), "lang-30"),
    ({"expect": "kl_drift", "scope": LANGUAGE, "against": "pool"}, crowded(LANGUAGE, "lang-30"), "lang-30"),
    ({"expect": "moved_rows"}, crowded(LANGUAGE, "lang-30"), "lang-30"),
    ({"expect": "worst_group_change"}, changed("after", "lang-01", 100, LANGUAGE), "lang-01"),
    ({"expect": "lost_groups"}, changed("after", "lang-05", 0, LANGUAGE), "lang-05"),
    ({"expect": "near_duplicate_rate"}, every_cluster("near_duplicate_rate", 0.2), "0"),
    ({"expect": "dispositions_add_up"}, totals(not_sampled=72_399), "read"),
    ({"expect": "exclusions_honoured"}, totals(excluded_kept=3), "excluded"),
    ({"expect": "made_share", "at_most": 0.2}, totals(made=10**9), "made"),
    ({"expect": "target_reached"}, totals(copies=4000), "copies"),
    ({"expect": "pattern_rate", "pattern": "email"}, hits("email"), "text"),
]  # fmt: skip
IDS = [
    " ".join(str(value) for value in list(wanted.values())[:2] if isinstance(value, str | int))
    for wanted, _, _ in FAULTS
]


def made(wanted: dict[str, Any]) -> Expectation:
    one: Expectation = EVERY.validate_python(wanted)
    return one


def test_no_expectation_is_without_a_test() -> None:
    assert {wanted["expect"] for wanted, _, _ in FAULTS} == set(EXPECTATIONS.ours())


@pytest.mark.parametrize(("wanted", "_faulty", "_offender"), FAULTS, ids=IDS)
@pytest.mark.long
def test_a_good_version_passes(wanted: dict[str, Any], _faulty: Tables, _offender: str | None) -> None:
    one = made(wanted)
    assert one.holds(one.measure(tables()[one.table]))


@pytest.mark.parametrize(("wanted", "faulty", "offender"), FAULTS, ids=IDS)
def test_a_faulty_version_fails_and_the_offender_is_named(
    wanted: dict[str, Any], faulty: Tables, offender: str | None
) -> None:
    one = made(wanted)
    found = one.measure(faulty[one.table])
    assert not one.holds(found)
    assert one.reason(found)
    assert len(found.offenders) <= 20
    if offender is not None:
        assert found.offenders[0].name == offender
        assert found.offenders[0].why


def test_less_even_than_random_and_passed_is_said_to_be_noise() -> None:
    one = made({"expect": "no_worse_than", "tolerance": 0.05})
    less, no_less = (one.measure(stage("after", entropy)["baselines"]) for entropy in (0.79, 0.9))
    assert one.holds(less)
    assert less.value < (less.limit or 0)
    assert one.reason(less).endswith("less is tolerance and sampling noise")
    assert "noise" not in one.reason(no_less)


@pytest.mark.parametrize("model", EXPECTATIONS.ours().values(), ids=EXPECTATIONS.ours())
def test_every_expectation_says_what_it_is(model: type[Expectation]) -> None:
    assert model.__doc__
    assert re.fullmatch(r"[a-z]+(_[a-z]+)*", model.model_fields["expect"].default)
    for name, field in model.model_fields.items():
        assert name == "expect" or field.description, f"{model.__name__}.{name} has no description"
    one = made(next(wanted for wanted, _, _ in FAULTS if wanted["expect"] == model.model_fields["expect"].default))
    assert dict(one) == {name: getattr(one, name) for name in model.model_fields}  # as Prefect reads a parameter
    sentence = one.sentence()
    assert sentence
    assert not sentence.endswith(".")


@pytest.mark.parametrize(
    "wanted",
    [
        {"expect": "coverage", "at_least": 1.5},
        {"expect": "gini", "at_most": -0.1},
        {"expect": "largest_share", "at_most": 0},
        {"expect": "psi", "scope": "cluster-1"},
        {"expect": "kl_target", "scope": LANGUAGE, "target": {"en": 0.9}},
        {"expect": "kl_target", "scope": LANGUAGE, "target": {"en": 1.5, "de": -0.5}},
        {"expect": "pattern_rate", "pattern": "iban"},
        {"expect": "no_worse_than", "baseline": "best"},
        {"expect": "coverage", "at_leats": 0.5},
        {"expect": "misplaced_rows", "severity": "panic"},
    ],
)
def test_thresholds_out_of_range_are_refused_before_anything_runs(wanted: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        EVERY.validate_python(wanted)


@pytest.mark.parametrize(
    "wanted", [{"expect": "coverage", "scope": "level-9"}, {"expect": "psi", "scope": "group.langauge"}]
)
def test_a_scope_that_is_not_there_is_an_error_that_names_those_that_are(wanted: dict[str, Any]) -> None:
    with pytest.raises(UnknownScope, match=r"not in the profile; it has group\.language, level-1"):
        made(wanted).measure(tables()["shares"])


@pytest.mark.parametrize(
    "wanted",
    [
        {"expect": "psi"},
        {"expect": "moved_rows"},
        {"expect": "worst_group_change"},
        {"expect": "lost_groups"},
        {"expect": "psi", "scope": "level-1"},
    ],
)
def test_the_first_version_has_nothing_to_drift_from(wanted: dict[str, Any]) -> None:
    shares = tables()["shares"].assign(previous=float("nan"))
    with pytest.raises(NotApplicable, match="no last version"):
        made(wanted).measure(shares)


def test_a_pool_without_groups_is_not_checked_for_groups() -> None:
    shares = tables()["shares"]
    with pytest.raises(NotApplicable, match="no group columns"):
        made({"expect": "moved_rows"}).measure(shares[shares["scope"] == "level-1"])


def test_a_group_with_no_rows_at_all_is_no_trouble() -> None:
    shares = tables()["shares"]
    empty = (shares["scope"] == LANGUAGE) & (shares["name"] == "lang-39")
    shares.loc[empty, ["before", "after", "previous"]] = 0.0
    for wanted, _, _ in FAULTS:
        one = made(wanted)
        if one.table == "shares" and one.expect != "allowed_values":
            assert one.holds(one.measure(shares)), one.label


def test_nan_never_passes() -> None:
    one = made({"expect": "inertia_change"})
    found = one.measure(totals(inertia=float("nan"))["totals"])
    assert not one.holds(found)


def test_replicated_rows_of_rare_clusters_are_not_misplaced() -> None:
    shares = tables()["shares"]
    rare = (shares["scope"] == "level-1") & (shares["before"] < 30)
    shares.loc[rare, "after"] = 20.0
    one = made({"expect": "misplaced_rows"})
    assert one.holds(one.measure(shares))


def test_a_target_smaller_than_the_number_of_clusters_can_still_be_even() -> None:
    shares = tables()["shares"]
    shares = shares[shares["scope"] == "level-1"].copy()
    shares["after"] = [1.0 if number % 2 else 0.0 for number in range(len(shares))]
    for expect in ("misplaced_rows", "coverage", "largest_share", "effective_classes"):
        one = made({"expect": expect})
        assert one.holds(one.measure(shares)), expect


def test_a_mean_by_concepts_counts_a_small_concept_as_much_as_a_large_one() -> None:
    pair = {"scope": "group.style", "given": "group.kind", "before": 0}
    counts = [("large", "a", 500), ("large", "b", 500), ("small", "a", 10), ("small", "b", 0)]
    joint = pd.DataFrame([{**pair, "concept": c, "attribute": a, "after": n} for c, a, n in counts])
    gate = {"expect": "conditional_entropy", "scope": "group.style", "given": "group.kind"}
    assert made(gate).measure(joint).value == pytest.approx(1000 / 1010)
    assert made({**gate, "mean_by": "concepts"}).measure(joint).value == pytest.approx(0.5)
