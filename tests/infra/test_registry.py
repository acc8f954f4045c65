"""Members of open kinds: ours by their file, those of packages by an entry point, none of them in doubt."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from evenkeel.flows.recipe import json_schema, parse
from evenkeel.infra.errors import RecipeError
from evenkeel.infra.registry import REGISTRIES, plugins_used
from evenkeel.infra.workspace import content_key
from evenkeel.tasks.sample.config import SamplingConfig
from evenkeel.tasks.sample.strategy import STRATEGIES
from tests.contributing.scratch import install

GOOD = """
from typing import ClassVar, Literal
from pydantic import Field
from evenkeel.expectations.expectation import Nothing
from evenkeel.tasks.embed.embedder import TextEmbedder
from evenkeel.tasks.ingest.reader import Reader
from evenkeel.tasks.sample.strategy import Strategy

class MadeUp(Strategy):
    \"\"\"Keep the rows that come first.\"\"\"

    name: Literal["made"] = "made"
    strength: float = Field(1.0, ge=0, description="How firmly.")

class MadeEmbedder(TextEmbedder):
    \"\"\"Embed by length.\"\"\"

    method: Literal["made"] = "made"

class MadeReader(Reader):
    name = "made"

class MadeExpectation(Nothing):
    \"\"\"Nothing is wrong.\"\"\"

    concern: ClassVar[str] = "made"
    table: ClassVar[str] = "totals"
    expect: Literal["made"] = "made"

class Misnamed(Strategy):
    name: Literal["else"] = "else"

class NoStrategy:
    pass
"""
Add = Callable[..., None]


@pytest.fixture
def add(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Add:
    """Install a package that adds a strategy of this name."""
    (tmp_path / "made_up.py").write_text(GOOD)
    (tmp_path / "broken_at_import.py").write_text("import nothing_of_that_name")
    monkeypatch.syspath_prepend(tmp_path)

    def add(name: str = "made", value: str = "made_up:MadeUp", package: str = "made-up", version: str = "1.0") -> None:
        if not (tmp_path / package).exists():
            install(tmp_path / package, package, version, {"evenkeel.strategies": {name: value}})
        monkeypatch.syspath_prepend(tmp_path / package)

    monkeypatch.setattr(STRATEGIES, "_added", {})
    return add


def problem(strategy: object) -> str:
    document = {"dataset": "d", "source": {"uri": "a"}, "destination": {"uri": "b"}}
    with pytest.raises(RecipeError) as caught:
        parse({**document, "sampling": {"target": 1, "strategy": strategy}})
    return str(caught.value)


@pytest.mark.long
def test_an_installed_member_is_validated_described_and_told_apart(add: Add) -> None:
    plain = SamplingConfig(target=5)
    schema = json_schema()
    add()
    config = SamplingConfig.model_validate({"target": 5, "strategy": {"name": "made", "strength": 2}})
    assert SamplingConfig.model_validate(config.model_dump(mode="json")) == config
    assert "strategy.made.strenth: there is no such field; did you mean strength?" in problem(
        {"name": "made", "strenth": 2}
    )
    branches = json_schema()["$defs"]["SamplingConfig"]["properties"]["strategy"]["anyOf"]
    before = schema["$defs"]["SamplingConfig"]["properties"]["strategy"]["anyOf"]
    assert branches == [*before, {"$ref": "#/$defs/MadeUp"}]
    assert plugins_used(config) == {"strategy made": "made-up 1.0"}
    assert plugins_used(plain) == {}


def test_another_version_of_a_package_is_another_key(add: Add, monkeypatch: pytest.MonkeyPatch) -> None:
    def key(version: str) -> str:
        with monkeypatch.context() as patch:
            patch.setattr(sys, "path", [*sys.path])
            add(version=version, package=f"made-up-{version}")
            config = SamplingConfig.model_validate({"target": 5, "strategy": "made"})
            return content_key("sample", 1, config, {})

    plain = content_key("sample", 1, SamplingConfig(target=5), {})
    assert len({key("1.0"), key("1.0"), key("1.1")}) == 2
    assert content_key("sample", 1, SamplingConfig(target=5), {}) == plain


def test_two_packages_with_one_name_are_refused(add: Add) -> None:
    add(package="one")
    add(package="two", version="2.0")
    assert "one 1.0 and two 2.0 both add a strategy called 'made'; remove one of them" in problem("made")


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("flat", "made_up:MadeUp", "made-up 1.0 adds a strategy called 'flat', which is a name of Evenkeel's own"),
        ("made", "broken_at_import:MadeUp", "of made-up 1.0 cannot be loaded: ModuleNotFoundError: No module named"),
        pytest.param(
            "made", "made_up:Nowhere", "of made-up 1.0 cannot be loaded: AttributeError", marks=pytest.mark.slow
        ),
        pytest.param("made", "made_up:NoStrategy", "which is no subclass of Strategy", marks=pytest.mark.slow),
        pytest.param("made", "made_up:Misnamed", "calls itself 'else'", marks=pytest.mark.slow),
    ],
)
@pytest.mark.long
def test_what_cannot_be_used_is_an_error_for_those_alone_who_name_it(
    add: Add, name: str, value: str, message: str, caplog: pytest.LogCaptureFixture
) -> None:
    schema = json_schema()
    add(name, value)
    assert message in problem(name)
    assert SamplingConfig.model_validate({"target": 5, "strategy": "random"}).strategy.name == "random"
    assert json_schema() == schema
    assert message in caplog.text or name == "flat"


def test_a_name_that_nobody_gave_is_told_with_what_was_meant(add: Add) -> None:
    add()
    assert "sampling.strategy: there is no strategy 'mad'; did you mean made?" in problem("mad")
    assert "there is no strategy 'qqq'; there are balanced, " in problem("qqq")
    assert "Unable to extract tag using discriminator 'name'" in problem({})
    assert "Input should be a valid dictionary" in problem(7)


def test_a_recipe_says_which_packages_it_draws_on(add: Add, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add()
    classes = {"embedders": "MadeEmbedder", "readers": "MadeReader", "expectations": "MadeExpectation"}
    points = {f"evenkeel.{kind}": {"made": f"made_up:{name}"} for kind, name in classes.items()}
    install(tmp_path / "others", "others", "3", points)
    monkeypatch.syspath_prepend(tmp_path / "others")
    for registry in REGISTRIES:
        monkeypatch.setattr(registry, "_added", {})
    document = {"dataset": "d", "source": {"uri": "a", "format": "made"}, "destination": {"uri": "b"}}
    chosen = {
        "embedding": {"method": "made"},
        "sampling": {"target": 1, "strategy": "made"},
        "gates": {"add": [{"expect": "made"}]},
    }
    assert plugins_used(parse(document | chosen)) == {
        "reader made": "others 3",
        "embedder made": "others 3",
        "strategy made": "made-up 1.0",
        "expectation made": "others 3",
    }
    assert plugins_used(parse({**document, "source": {"uri": "a"}, "sampling": {"target": 1}})) == {}
