"""The wheel of `make dist`, in a fresh environment beside a person's own packages."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
UV = str(Path(sys.executable).with_name("uv"))
FRESH = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT", "PYTHON", "EVENKEEL"))}
OWN = """
[project]
name = "mine"
version = "1"
[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"
[tool.setuptools]
packages = ["flows", "infra", "tasks", "tests"]
"""


def call(folder: Path, *command: str | Path) -> str:
    done = subprocess.run([*map(str, command)], cwd=folder, env=FRESH, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel as `make dist` builds it: from the sdist, so from what Git knows."""
    folder = tmp_path_factory.mktemp("dist")
    call(ROOT, UV, "build", "--quiet", "--python", sys.executable, "--out-dir", folder)
    (found,) = folder.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def fresh(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an environment in it: first a package with the names of our folders, then the wheel."""
    folder = tmp_path_factory.mktemp("fresh")
    (folder / "own").mkdir()
    (folder / "own" / "pyproject.toml").write_text(OWN)
    for name in ("flows", "infra", "tasks", "tests"):
        (folder / "own" / name).mkdir()
        (folder / "own" / name / "__init__.py").write_text("MINE = __name__\n")
    call(folder, UV, "venv", "--quiet", "--python", sys.executable, "venv")
    python = folder / "venv" / "bin" / "python"
    call(folder, UV, "pip", "install", "--quiet", "--python", python, "--compile-bytecode", "./own")
    call(
        folder, UV, "pip", "install", "--quiet", "--python", python, "--compile-bytecode",
        "-c", ROOT / "requirements.lock", wheel,
    )  # fmt: skip
    return folder


@pytest.mark.slow
def test_the_wheel_holds_one_package(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0].split("-")[0] for name in names} == {"evenkeel"}
    assert {"evenkeel/prefect.yaml", "evenkeel/infra/prefect.env", "evenkeel/flows/recipes/digits.yaml"} <= set(names)
    assert not [name for name in names if name.startswith("evenkeel/tests")]
    assert wheel.name.split("-")[1] != "0"


@pytest.mark.slow
def test_own_packages_of_the_same_names_stay_as_they_are(fresh: Path) -> None:
    code = "import flows, infra, tasks, tests; print(flows.MINE, infra.MINE, tasks.MINE, tests.MINE)"
    assert call(fresh, fresh / "venv" / "bin" / "python", "-c", code).split() == ["flows", "infra", "tasks", "tests"]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_ready_recipe_runs_from_the_wheel(fresh: Path) -> None:
    evenkeel = fresh / "venv" / "bin" / "evenkeel"
    assert "digits v1 is published with 102 rows" in call(fresh, evenkeel, "run", "digits")
    assert (fresh / ".evenkeel" / "published" / "digits" / "latest" / "version.json").is_file()
    call(fresh, evenkeel, "verify", "digits")


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_server_from_the_wheel_has_every_deployment_and_runs_them_here(fresh: Path) -> None:
    python, evenkeel = fresh / "venv" / "bin" / "python", fresh / "venv" / "bin" / "evenkeel"
    free = "from evenkeel.infra.ports import free_port; print(free_port())"
    port, pages = (call(fresh, python, "-c", free).strip() for _ in range(2))
    try:
        call(fresh, evenkeel, "serve", "--port", port, "--pages-port", pages)
        ask = f"""
import httpx
api = "http://127.0.0.1:{port}/api"
found = httpx.get(api + "/deployments/name/curate/on-demand", timeout=120).json()
print(found["pull_steps"][0]["prefect.deployments.steps.set_working_directory"]["directory"])
print(found["version"])
"""
        directory, version = call(fresh, python, "-c", ask).split()
        assert Path(directory).samefile(fresh)
        assert version == call(fresh, evenkeel, "--version").split()[-1].replace("+", "-")
    finally:
        call(fresh, evenkeel, "serve", "--down")
