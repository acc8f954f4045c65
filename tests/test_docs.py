"""The docs name everything there is: every recipe field, command, flow, strategy, expectation, cluster and step."""

import re
import shlex
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from evenkeel.expectations.expectation import EXPECTATIONS
from evenkeel.flows.cli.main import VERBS, main
from evenkeel.flows.recipe import load, ready_recipes
from evenkeel.flows.recipe_docs import PAGE, field_rows, with_table
from evenkeel.infra.cluster_files import cluster_names
from tests import api_reference

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"


def page(name: str) -> str:
    return (DOCS / name).read_text()


def test_the_field_reference_is_of_today() -> None:
    assert PAGE.read_text() == with_table(PAGE.read_text()), "run `python -m evenkeel.flows.recipe_docs`"


def test_the_api_reference_is_of_today() -> None:
    assert api_reference.PAGE.read_text() == api_reference.reference(), "run `python -m tests.api_reference`"


def test_every_recipe_field_says_what_it_means() -> None:
    assert [path for path, _, _, description in field_rows() if len(description) < 10] == []


@pytest.mark.parametrize("name", ready_recipes())
def test_ready_recipes_are_named(name: str) -> None:
    assert f"`{name}`" in page("RECIPES.md")


@pytest.mark.parametrize("command", sorted(VERBS))
def test_every_command_is_explained(command: str) -> None:
    assert f"`evenkeel {command}" in page("COMMANDS.md")
    found = main.get_command(click.Context(main), command)
    assert found is not None
    for parameter in found.params:
        if isinstance(parameter, click.Option) and not parameter.help:
            raise AssertionError(f"{command} {parameter.opts[0]} has no help")


COMMAND = re.compile(r"`evenkeel ([^`]+)`|^\$ evenkeel (.+)$", re.M)


def documented_commands() -> list[tuple[str, str]]:
    """Return every command line in the docs that names a verb, and the page that it is on."""
    pages = [*DOCS.rglob("*.md"), ROOT / "README.md", ROOT / "CONTRIBUTING.md"]
    found = [(path, match[0] or match[1]) for path in pages for match in COMMAND.findall(path.read_text())]
    lines = {(path.name, line.split(" #")[0].strip()) for path, line in found}
    return sorted(line for line in lines if not line[1].startswith(("-", "COMMAND")))


@pytest.mark.parametrize(("name", "line"), documented_commands())
def test_a_command_in_the_docs_is_one(name: str, line: str) -> None:
    verb, *words = shlex.split(re.sub(r"[\[\]]| \.\.\.", "", line))
    command = main.get_command(click.Context(main), verb)
    assert command is not None
    given, rest, _ = command.make_parser(click.Context(command)).parse_args(list(words))
    assert rest == []
    if words:
        required = {parameter.name for parameter in command.params if parameter.required}
        assert {one for one in required if not isinstance(given.get(one or ""), str)} == set()
        recipe = given.get("recipe", "RECIPE")
        assert recipe == "RECIPE" or recipe.endswith(".yaml") or recipe in ready_recipes()


RECIPE = re.compile(r"^( *)```yaml\n(.*?)^ *```", re.S | re.M)


def shown_recipes() -> list[Any]:
    """Return every whole recipe that a page shows."""
    pages = [DOCS / "TUTORIAL.md", DOCS / "index.md", *sorted((DOCS / "howto").glob("*.md"))]
    blocks = [(path.stem, textwrap.dedent(text)) for path in pages for _, text in RECIPE.findall(path.read_text())]
    return [pytest.param(text, id=name) for name, text in blocks if text.startswith("dataset:")]


@pytest.mark.parametrize("text", shown_recipes())
def test_a_recipe_in_a_how_to_is_one(text: str, tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text(text)
    assert load(str(tmp_path / "recipe.yaml"), []).dataset


def deployments() -> list[dict[str, str]]:
    listed: list[dict[str, str]] = yaml.safe_load((ROOT / "prefect.yaml").read_text())["deployments"]
    return listed


@pytest.mark.parametrize("deployment", deployments(), ids=lambda one: one["name"])
def test_every_deployment_is_explained(deployment: dict[str, str]) -> None:
    assert f"`{deployment['name']}`" in page("OPERATE.md")


@pytest.mark.parametrize("name", cluster_names())
def test_every_cluster_is_explained(name: str) -> None:
    assert f"`{name}`" in page("OPERATE.md")


@pytest.mark.parametrize("name", sorted(EXPECTATIONS.ours()))
def test_every_expectation_is_explained(name: str) -> None:
    assert f"`{name}`" in page("EXPECTATIONS.md")


def test_links_between_pages_lead_somewhere() -> None:
    broken = []
    for path in [*DOCS.rglob("*.md"), ROOT / "README.md", ROOT / "CONTRIBUTING.md"]:
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", path.read_text()):
            if "://" not in target and not (path.parent / target).exists():
                broken.append(f"{path.relative_to(ROOT)}: {target}")
    assert broken == []


def test_the_readme_names_its_two_commands_and_they_exist() -> None:
    readme, makefile = (ROOT / "README.md").read_text(), (ROOT / "Makefile").read_text()
    for target in ("run", "test"):
        assert f"make {target}" in readme
        assert re.search(rf"^{target}:", makefile, re.M)


def test_make_help_lists_every_target_people_call() -> None:
    shown = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    wanted = ("help", "run", "test", "test-all", "bench", "lint", "serve", "clean")
    assert [target for target in wanted if f"make {target}" not in shown] == []


def test_the_product_speaks_of_itself_alone() -> None:
    assert sys.version_info >= (3, 11)
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False).stdout.split()
    private = re.compile(r"/work/|/root/|\.library")
    told = [name for name in tracked if name != "tests/test_docs.py" and _text(ROOT / name, private)]
    assert told == []


def _text(path: Path, pattern: re.Pattern[str]) -> bool:
    try:
        return bool(pattern.search(path.read_text()))
    except (UnicodeDecodeError, FileNotFoundError):
        return False
