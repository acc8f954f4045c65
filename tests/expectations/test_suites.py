"""Suites by name, and what a recipe may do to them."""

import subprocess
import sys
from typing import Any

import pytest
from pydantic import ValidationError

from evenkeel.expectations.expectation import EXPECTATIONS
from evenkeel.expectations.reference import PAGE, with_reference
from evenkeel.expectations.suites import FORMER_NAMES, suite
from evenkeel.tasks.validate.config import GatesConfig


def names(config: GatesConfig) -> list[str]:
    return [one.label for one in config.expectations()]


def test_the_first_version_is_not_compared_with_a_last_one() -> None:
    assert not {"psi", "moved_rows", "lost_groups", "inertia_change"} & {one.expect for one in suite("first-version")}
    assert {one.label for one in suite("first-version")} < {one.label for one in suite("default")}


def test_strict_asks_for_all_that_default_asks_and_more() -> None:
    default, strict = {one.label: one for one in suite("default")}, {one.label: one for one in suite("strict")}
    assert default.keys() < strict.keys()
    for label, one in default.items():
        for bound, tighter in (("at_most", -1), ("at_least", 1)):
            if hasattr(one, bound):
                assert tighter * (getattr(strict[label], bound) - getattr(one, bound)) >= 0, label
        assert not (one.severity == "block" and strict[label].severity == "warn")


def test_auto_asks_for_evenness_only_where_the_strategy_balances() -> None:
    by_goal = {goal: {one.label for one in suite("auto", goal)} for goal in ("balance", "plan", "weights", "target")}
    assert {one.label for one in suite("default")} < by_goal["balance"]
    assert by_goal["balance"] - by_goal["plan"] == {
        *("no_worse_than(random, level-1)", "no_worse_than(random, levels)", "no_worse_than(random, groups)"),
        *("no_worse_than(previous, level-1)", "effective_classes(1, level-1)", "effective_classes(2, level-1)"),
        *("largest_share(level-1)", "misplaced_rows(level-1)"),
    }
    assert by_goal["weights"] - by_goal["plan"] == {"effective_sample_size"}
    assert all(
        {"follows_plan(level-1)", "follows_plan(cells)", "coverage(level-1)"} <= all_ for all_ in by_goal.values()
    )


def test_what_a_recipe_changes_is_asked_for_whatever_the_strategy() -> None:
    config = GatesConfig.model_validate({"change": {"largest_share": {"at_most": 0.5}}, "remove": ["misplaced_rows"]})
    found = {one.label: one for one in config.expectations("plan")}
    assert found["largest_share(level-1)"].model_dump()["at_most"] == 0.5
    assert not {"effective_classes(1, level-1)", "misplaced_rows(level-1)"} & found.keys()
    assert len(config.expectations()) > len(config.expectations("balance")) > len(found)


def test_a_recipe_changes_removes_and_adds() -> None:
    config = GatesConfig.model_validate(
        {
            "change": {"coverage": {"at_least": 0.5, "severity": "warn"}, "psi(level-1, previous)": {"at_most": 0.1}},
            "remove": ["tiny_clusters", "no_worse_than(random, level-1)"],
            "add": [{"expect": "allowed_values", "scope": "group.licence", "allowed": ["MIT"]}],
        }
    )
    found = {one.label: one for one in config.expectations()}
    assert found["coverage(level-1)"].severity == "warn"
    assert found["coverage(level-1)"].model_dump()["at_least"] == 0.5
    assert found["psi(level-1, previous)"].model_dump()["at_most"] == 0.1
    assert found["psi(groups, previous)"].model_dump()["at_most"] == 0.25
    assert "tiny_clusters(level-1)" not in found
    assert "no_worse_than(random, level-1)" not in found
    assert "no_worse_than(previous, level-1)" in found
    assert names(config)[-1] == "allowed_values(group.licence)"


def test_former_names_of_expectations_still_work() -> None:
    was = GatesConfig.model_validate(
        {
            "change": {"giant_cluster": {"at_most": 0.3}, "fates_add_up": {"severity": "warn"}},
            "remove": ["dust(level-1)"],
            "add": [{"expect": "dust", "scope": "level-2"}],
        }
    )
    now = GatesConfig.model_validate(
        {
            "change": {"oversized_cluster": {"at_most": 0.3}, "dispositions_add_up": {"severity": "warn"}},
            "remove": ["tiny_clusters(level-1)"],
            "add": [{"expect": "tiny_clusters", "scope": "level-2"}],
        }
    )
    assert was == now
    assert was.model_dump() == now.model_dump()
    assert set(FORMER_NAMES.values()) <= EXPECTATIONS.ours().keys()
    assert not FORMER_NAMES.keys() & EXPECTATIONS.ours().keys()


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"change": {"covrage": {"at_least": 0.5}}}, "did you mean coverage"),
        (
            {"change": {"coverage": {"at_least": 2}}},
            r"coverage\(level-1\).at_least: Input should be less than or equal to 1",
        ),
        ({"change": {"coverage": {"atleast": 0.5}}}, "atleast"),
        ({"remove": ["psy"]}, "did you mean psi"),
        ({"add": [{"expect": "entropy"}]}, "normalised_entropy"),
        ({"suite": "lenient"}, "first-version"),
        ({"thresholds": {}}, "thresholds"),
    ],
)
def test_mistakes_in_gates_are_named(document: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        GatesConfig.model_validate(document)


def test_forms_show_added_expectations_as_tabs() -> None:
    items = GatesConfig.model_json_schema()["properties"]["add"]["items"]
    assert len(items["anyOf"]) > 20
    assert "discriminator" not in items


def test_reading_a_recipe_does_not_import_great_expectations_or_pandas() -> None:
    code = (
        "import evenkeel.tasks.validate.config, sys;"
        "print({'great_expectations', 'pandas', 'altair'} & set(sys.modules))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "set()"


def test_the_reference_in_the_docs_is_of_today() -> None:
    page = PAGE.read_text()
    assert page == with_reference(page), "run `python -m evenkeel.expectations.reference`"
