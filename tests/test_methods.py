"""The table of methods is true: its recipe lines are read, its tests exist, and no choice of a recipe is missing."""

import ast
import copy
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from evenkeel.flows.recipe import Recipe, parse
from evenkeel.tasks.annotate.annotation import ANNOTATIONS
from evenkeel.tasks.mixture.rule import RULES as MIXTURES
from evenkeel.tasks.sample.strategy import STRATEGIES
from evenkeel.tasks.signal.signal import SIGNALS

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "METHODS.md"
HEADER = ["method", "source", "recipe line", "test"]
BASE = {
    "dataset": "methods",
    "source": {"uri": "shards", "id": "id", "text": "text", "groups": ["language"], "scores": ["clean", "loss"]},
    "sampling": {"strategy": "balanced", "target": "10%"},
    "destination": {"uri": "published"},
}
RULES = ("keep", "drop", "soft", "window", "best")


class Choice(NamedTuple):
    """What a recipe chooses by name: the names there are, and those that a recipe uses."""

    what: str
    names: Iterable[str]
    used: Callable[[Recipe], set[str]]


CHOICES = [
    Choice("strategy", STRATEGIES.ours(), lambda recipe: {recipe.sampling.strategy.name}),
    Choice("signal", SIGNALS.ours(), lambda recipe: {signal.kind for signal in recipe.signals}),
    Choice("annotation", ANNOTATIONS.ours(), lambda recipe: {one.kind for one in recipe.annotations}),
    Choice("mixture rule", MIXTURES.ours(), lambda recipe: {recipe.mixture.rule.name} if recipe.mixture else set()),
    Choice("filter rule", RULES, lambda recipe: {one for rule in recipe.filters for one in rule.model_fields_set}),
]


class Method(NamedTuple):
    """One row of the table, and the section that it is in."""

    section: str
    name: str
    source: str
    recipe: str
    test: str

    def parsed(self) -> Recipe:
        """Return the recipe that the row's line is a part of. Raises RecipeError where it is none."""
        return parse(_merged(BASE, yaml.safe_load(self.recipe)), where=f"docs/METHODS.md, row {self.name!r}")


def table_rows() -> list[tuple[int, str, list[str]]]:
    """Return line number, section and cells of every row of the page's tables, headers left out."""
    section, found = "", []
    for number, line in enumerate(PAGE.read_text().splitlines(), start=1):
        section = line[3:] if line.startswith("## ") else section
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if line.startswith("|") and cells != HEADER and set(cells) != {"---"}:
            found.append((number, section, cells))
    return found


def methods() -> list[Method]:
    """Return the rows that have four cells."""
    rows = [(section, cells) for _, section, cells in table_rows() if len(cells) == len(HEADER)]
    return [Method(section, cells[0], cells[1], cells[2].strip("`"), cells[3].strip("`")) for section, cells in rows]


def test_every_row_has_its_four_cells() -> None:
    wrong = [number for number, _, cells in table_rows() if len(cells) != len(HEADER) or not all(cells)]
    assert wrong == [], f"docs/METHODS.md, lines {wrong}: expected | {' | '.join(HEADER)} |"


@pytest.mark.parametrize("method", methods(), ids=lambda method: method.name)
def test_a_method_has_a_recipe_line_and_a_test(method: Method) -> None:
    method.parsed()
    path, _, name = method.test.partition("::")
    assert (ROOT / path).is_file(), f"{method.name}: there is no file {path}"
    assert name in _tests_of(ROOT / path), f"{method.name}: {path} has no test {name}"


@pytest.mark.parametrize("choice", CHOICES, ids=lambda choice: choice.what)
def test_every_choice_of_a_recipe_has_a_row(choice: Choice) -> None:
    shown = {name for method in methods() for name in choice.used(method.parsed())}
    missing = sorted(set(choice.names) - shown)
    assert missing == [], f"docs/METHODS.md needs a row whose recipe line names the {choice.what}: {missing}"


def test_a_method_has_one_row_in_its_section() -> None:
    places = [(method.section, method.name.lower()) for method in methods()]
    assert sorted(place for place in set(places) if places.count(place) > 1) == []


@cache
def _tests_of(path: Path) -> set[str]:
    """Return the names of the tests in a file."""
    return {one.name for one in ast.walk(ast.parse(path.read_text())) if isinstance(one, ast.FunctionDef)}


def _merged(under: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """Return a plain document with the fields of another laid over it."""
    made = copy.deepcopy(under)
    for name, value in over.items():
        inner = made.get(name)
        made[name] = _merged(inner, value) if isinstance(inner, dict) and isinstance(value, dict) else value
    return made
