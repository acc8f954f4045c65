"""The checkout or image of Evenkeel whose deployments a server runs."""

import os
import subprocess
from pathlib import Path

from evenkeel.infra.errors import RecipeError

ROOT = Path(__file__).parents[2]


def commit(project: Path) -> str:
    """Return the commit that runs: what an image was built from (EVENKEEL_COMMIT), else that of the checkout."""
    if named := os.environ.get("EVENKEEL_COMMIT"):
        return named
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
            expected="prefect.yaml, which is in the root of a checkout or image of Evenkeel",
            where=str(project),
            remedy="run from a checkout: git clone, make setup, make serve",
        )
