"""The checkout or installed package of Evenkeel whose deployments a server runs."""

import os
import subprocess
from importlib import metadata
from pathlib import Path

from evenkeel.infra.errors import RecipeError

ROOT = Path(__file__).parents[2]
"""Where prefect.yaml lies: the root of a checkout, or the folder of the package where it was installed from a wheel."""


def is_installed(project: Path) -> bool:
    """Return whether `project` is the folder of an installed package, in which no run may write, and no checkout."""
    return (project / "__init__.py").is_file()


def folder_of_runs(project: Path) -> Path:
    """Return where runs start, which is what relative paths mean: in `project`, or here where it is installed."""
    return Path.cwd() if is_installed(project) else project


def commit(project: Path) -> str:
    """Return what runs: the commit of an image (EVENKEEL_COMMIT) or of a checkout, else the installed release."""
    if named := os.environ.get("EVENKEEL_COMMIT"):
        return named
    if is_installed(project):
        return metadata.version("evenkeel").replace("+", "-")
    command = ["git", "rev-parse", "--short", "HEAD"]
    try:
        done = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return "unknown"
    return done.stdout.strip() or "unknown"


def require_deployments(project: Path) -> None:
    """Raise RecipeError where `project` has no prefect.yaml."""
    if not (project / "prefect.yaml").is_file():
        raise RecipeError(
            "there are no deployments to register",
            expected="prefect.yaml, which is in the root of a checkout and in the installed package",
            where=str(project),
            remedy="leave the folder out: python -m evenkeel.flows.server.register",
        )
