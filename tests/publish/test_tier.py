"""Tiers: what a version passed, said in the recipe, kept in the catalog, and asked for when it is opened."""

from typing import Any

import pytest

import evenkeel
from evenkeel.flows.recipe import parse
from evenkeel.infra.errors import RecipeError, VersionNotFound
from evenkeel.tasks.publish.config import DestinationConfig
from evenkeel.tasks.publish.tier import Tier, TierConfig, Verdict, tier_of
from evenkeel.tasks.versions.listing import list_versions
from evenkeel.tasks.versions.tags import rollback
from tests.publish.fixtures import Publish

BASE: dict[str, Any] = {
    "dataset": "d",
    "source": {"uri": "s", "text": "t"},
    "destination": {"uri": "p"},
    "sampling": {"target": 9},
}
PASSED = [Verdict("coverage", "coverage", "passed"), Verdict("psi", "psi(level-1)", "passed")]


def given(name: str, **requires: Any) -> TierConfig:
    return TierConfig.model_validate({"name": name, **({"requires": requires} if requires else {})})


@pytest.mark.parametrize(
    ("config", "verdicts", "approval", "short"),
    [
        (given("L1"), PASSED, None, ""),
        (given("L2"), [*PASSED, Verdict("gini", "gini", "failed")], None, "gini failed"),
        (given("L2"), [*PASSED, Verdict("gini", "gini", "warned")], None, ""),
        (given("L4"), [*PASSED, Verdict("gini", "gini", "warned")], "yes", "1 warnings (gini), at most 0"),
        (given("L4"), PASSED, None, "nobody has approved it yet"),
        (given("L4"), PASSED, "", ""),
        (given("L3", gates=["psi(level-1)", "coverage"]), PASSED, None, ""),
        (given("L3", gates=["kl_drift"]), PASSED, None, "kl_drift did not pass"),
        (given("L3", gates=["psi"]), [Verdict("psi", "psi(level-1)", "skipped")], None, "psi did not pass"),
    ],
)
def test_a_version_has_its_tier_where_it_passed_what_that_asks(
    config: TierConfig, verdicts: list[Verdict], approval: str | None, short: str
) -> None:
    found = tier_of(config, verdicts, "strict", [], approval)
    assert (found.name, "; ".join(found.short)) == ("L0" if short else config.name, short)
    assert found.wanted == config.name
    assert found.passed == [one.label for one in verdicts if one.status == "passed"]


@pytest.mark.parametrize(
    ("tier", "gates", "message"),
    [
        ({"name": "L3"}, {}, "it requires the suite strict, and gates.suite is auto"),
        ({"name": "L2"}, {"remove": ["coverage"]}, "gates.remove leaves out coverage"),
        ({"name": "L3"}, {"suite": "strict"}, ""),
        ({"name": "L1"}, {"suite": "strict"}, ""),
        ({"name": "L4"}, {"suite": "strict"}, "it requires an approval"),
        ({"name": "L4"}, {"suite": "strict", "approval": "required"}, "it requires allowed licences"),
        ({"name": "L3", "requires": {"suite": "strict", "approval": True}}, {"suite": "strict"}, "an approval"),
        ({"name": "L5"}, {}, "tier.name"),
    ],
)
def test_a_tier_out_of_reach_is_refused_before_the_work(
    tier: dict[str, Any], gates: dict[str, Any], message: str
) -> None:
    document = {**BASE, "tier": tier, "gates": gates}
    if not message:
        recipe = parse(document)
        assert parse(recipe.model_dump(mode="json")) == recipe
        return
    with pytest.raises(RecipeError, match=message):
        parse(document)


def test_the_newest_version_of_at_least_a_tier_is_opened(
    publish_one: Publish, destination: DestinationConfig, workspace: str
) -> None:
    def of(name: str) -> dict[str, Any]:
        found = tier_of(given(name, suite="first-version"), PASSED, "auto", [], None)
        return {"tier": found.model_dump(mode="json")}

    publish_one(seed=0, rows=60, document=of("L3"))
    publish_one(seed=1, rows=60, document=of("L1"))
    publish_one(seed=2, rows=60)
    folder = f"{destination.uri}/demo"
    assert [one.tier for one in list_versions(destination, "demo", workspace)] == ["", "L1", "L3"]
    opened = {tier: evenkeel.open(folder, tier=tier).version for tier in ("L0", "L1", "L2", "L3")}
    assert opened == {"L0": 3, "L1": 2, "L2": 1, "L3": 1}
    assert Tier.model_validate(evenkeel.open(folder, 1).manifest.document["tier"]).passed == [
        "coverage",
        "psi(level-1)",
    ]
    assert evenkeel.open(folder, "v2", tier="L1").version == 2
    with pytest.raises(VersionNotFound, match=r"no version of tier L4 or higher\n  found: v3, v2 \(L1\), v1 \(L3\)"):
        evenkeel.open(folder, tier="L4")
    with pytest.raises(VersionNotFound, match="no version 'latest' of tier L1"):
        evenkeel.open(folder, "latest", tier="L1")
    with pytest.raises(RecipeError, match="no tier '3'"):
        evenkeel.open(folder, tier="3")
    rollback(destination, "demo", 2, workspace)
    assert evenkeel.open(folder).version == 2
    assert evenkeel.open(folder, tier="L0").version == 3, "the newest, whichever is current"
