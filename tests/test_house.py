"""The house keeps its own rules: imports run one way, names say what a thing is, heavy imports are lazy."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ROOMS = ("flows", "tasks", "expectations", "infra")
MAY_IMPORT = {
    "flows": {"flows", "tasks", "infra"},
    "tasks": {"tasks", "expectations", "infra"},
    "expectations": {"expectations"},
    "infra": {"infra"},
}
MODULES = sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py"))
HEAVY = {"great_expectations", "altair", "cudf", "cuml", "cupy", "torch", "sklearn", "dask", "distributed", "pyiceberg"}


def imported(tree: ast.AST) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
    return names


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_run_one_way(path: Path) -> None:
    room = path.relative_to(ROOT).parts[0]
    names = [name.split(".") for name in imported(ast.parse(path.read_text()))]
    assert not {name[0] for name in names} & set(ROOMS), "our packages are imported as evenkeel.*"
    assert {name[1] for name in names if name[0] == "evenkeel" and len(name) > 1} <= MAY_IMPORT[room]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_only_flows_know_prefect(path: Path) -> None:
    if path.relative_to(ROOT).parts[0] == "flows":
        assert "annotations" not in imported(ast.parse(path.read_text()))
    else:
        assert "prefect" not in {name.split(".")[0] for name in imported(ast.parse(path.read_text()))}


def test_no_module_is_a_drawer_of_odds_and_ends() -> None:
    assert not {path.stem for path in MODULES} & {"utils", "util", "helpers", "common", "misc"}


def test_every_module_says_what_it_is_about() -> None:
    silent = [
        path for path in MODULES if path.read_text().strip() and not ast.get_docstring(ast.parse(path.read_text()))
    ]
    assert silent == []


def test_nothing_is_unpickled() -> None:
    readers = [
        path for path in MODULES if {"pickle", "cloudpickle", "joblib", "dill"} & imported(ast.parse(path.read_text()))
    ]
    assert readers == []
    assert not [path for path in MODULES if "allow_pickle=True" in path.read_text()]


@pytest.mark.parametrize("module", ["evenkeel.flows.cli.main", "evenkeel.flows.recipe"])
def test_light_modules_import_nothing_heavy(module: str) -> None:
    code = f"import {module}, sys; print(*sorted({{name.split('.')[0] for name in sys.modules}}))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert not set(loaded.stdout.split()) & (HEAVY | {"prefect"})
