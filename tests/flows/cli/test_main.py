"""The command line: exit codes that mean something, JSON that parses, errors that say what to do."""

import json
import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pandas as pd
import pytest

from evenkeel.flows.cli.main import EARLIER_NAMES, VERBS, main
from evenkeel.flows.plan import Plan
from tests.flows.cli.calls import invoke


def processor_seconds(*arguments: str) -> float:
    """Return the CPU seconds of a process that runs the command line, imports included."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-m", "evenkeel.flows.cli.main", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert "balanced" in done.stdout
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def test_help_answers_at_once() -> None:
    assert min(processor_seconds("--help") for _ in range(3)) < 0.25


def completed(*words: str) -> tuple[list[list[str]], float]:
    """Return what a shell is offered for the last of the words, and the CPU seconds that it took."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    asked = {"COMP_WORDS": " ".join(words), "COMP_CWORD": str(len(words) - 1), "_EVENKEEL_COMPLETE": "bash_complete"}
    command = [str(Path(sys.executable).with_name("evenkeel"))]
    done = subprocess.run(command, env=os.environ | asked, capture_output=True, text=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    lines = [line.split(",") for line in done.stdout.splitlines()]
    return lines, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def test_a_shell_completes_verbs_at_once() -> None:
    found, seconds = min((completed("evenkeel", "ver") for _ in range(2)), key=lambda each: each[1])
    assert found == [["plain", "versions"], ["plain", "verify"]]
    assert seconds < 0.25


@pytest.mark.slow
def test_a_shell_completes_recipes_and_files() -> None:
    found, _ = completed("evenkeel", "schema", "--mark")
    assert found == [["plain", "--markdown"]]
    found, _ = completed("evenkeel", "versions", "digits-")
    assert found == [["plain", "digits-by-label"], ["file", "digits-"]]


@pytest.mark.parametrize("name", VERBS)
def test_a_verb_is_what_the_help_says_of_it(name: str) -> None:
    command = main.get_command(click.Context(main), name)
    assert command is not None
    assert (command.name, (command.help or "").split("\n\n")[0]) == (name, VERBS[name].sentence)


def test_verbs_of_the_last_release_still_work() -> None:
    for earlier, name in EARLIER_NAMES.items():
        assert main.get_command(click.Context(main), earlier) is main.get_command(click.Context(main), name)
        assert f"  {earlier} " not in invoke("--help")[1]


def test_an_unknown_verb_is_bad_usage() -> None:
    assert invoke("publish")[0] == 2


def test_a_plan_that_does_not_fit_is_one_document(recipe_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Plan, "fits", False)
    code, output = invoke("plan", recipe_file, "--no-probe", "--json")
    assert (code, json.loads(output)["dataset"]) == (1, "notes")


@pytest.mark.usefixtures("prefect_server")
def test_run_show_and_versions_agree(recipe_file: Path, document: dict[str, Any]) -> None:
    code, output = invoke("run", recipe_file, "--json")
    assert code == 0, output
    published = json.loads(output[output.index("{") :])
    assert (published["status"], published["version"], published["rows"]) == ("published", 1, 240)
    code, output = invoke("versions", recipe_file, "--json")
    assert [(version["version"], version["rows"]) for version in json.loads(output)] == [(1, 240)]
    code, output = invoke("show", recipe_file, "--dropped", "2", "--json")
    assert code == 0
    assert {one["kind"] for one in json.loads(output)} <= {"exact", "near", "semantic"}
    code, output = invoke("plan", recipe_file, "--json")
    assert all(step["done"] for step in json.loads(output)["steps"])
    code, output = invoke("run", recipe_file)
    assert code == 0
    assert "unchanged" in output


def test_bad_recipe_is_2(recipe_file: Path) -> None:
    code, output = invoke("run", recipe_file, "--set", "samplng.target=1")
    assert code == 2
    assert "did you mean sampling?" in output
    code, output = invoke("plan", "gone.yaml", "--json")
    assert code == 2
    assert json.loads(output)["error"] == "RecipeError"


@pytest.mark.slow
@pytest.mark.usefixtures("prefect_server")
def test_failed_gate_is_3(recipe_file: Path) -> None:
    gate = "gates.add=[{expect: normalised_entropy, at_least: 0.999}]"
    code, output = invoke("run", recipe_file, "--set", "sampling.strategy=random", "--set", gate)
    assert code == 3
    assert "nothing was published" in output


@pytest.mark.long
def test_schema_is_json_schema() -> None:
    code, output = invoke("schema")
    assert code == 0
    assert set(json.loads(output)["required"]) == {"dataset", "source", "sampling", "destination"}
    code, output = invoke("schema", "--markdown")
    assert "`sampling.target`" in output


def test_curate_without_a_server_says_how_to_start_one(recipe_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    code, output = invoke("curate", recipe_file)
    assert code == 1
    assert "evenkeel serve" in output


@pytest.mark.slow
@pytest.mark.usefixtures("prefect_server")
def test_a_row_taken_down_is_in_no_coming_version(recipe_file: Path) -> None:
    code, output = invoke("run", recipe_file, "--json")
    first = json.loads(output[output.index("{") :])
    victim = str(pd.read_parquet(first["data"])["id"].iloc[0])
    code, output = invoke("takedown", recipe_file, victim)
    assert (code, "v1 holds 1" in output, "nothing is changed" in output) == (0, True, True)
    assert invoke("takedown", recipe_file, victim, "--yes", "--reason", "asked for")[0] == 0
    code, output = invoke("run", recipe_file, "--json")
    second = json.loads(output[output.index("{") :])
    assert (code, second["status"], second["version"]) == (0, "published", 2)
    assert victim not in set(pd.read_parquet(second["data"])["id"])
    assert second["totals"]["read"] == sum(
        second["totals"][name] for name in ("kept", "deduplicated", "not_sampled", "quarantined")
    )
    code, output = invoke("diff", recipe_file, "v1", "v2", "--json")
    assert json.loads(output)["removed"] >= 1
    assert invoke("verify", recipe_file)[0] == 0
    assert invoke("show", recipe_file, "v1")[0] == 0
