"""Where a browser finds what was published, the run that made it and the commit of the code that it ran."""

import os
import re
import subprocess
from pathlib import Path
from urllib.parse import quote
from uuid import UUID

from prefect.client.schemas.objects import FlowRun
from prefect.context import FlowRunContext
from prefect.runtime import flow_run
from prefect.utilities.urls import url_for

from evenkeel.flows.places import absolute
from evenkeel.flows.recipe import Recipe
from evenkeel.infra import storage

PAGES_URL = "EVENKEEL_PAGES_URL"
"""Public address of the server of pages, such as https://pages.example.org; `evenkeel serve` sets its own."""


COMMITS_URL = "EVENKEEL_COMMITS_URL"
"""Address that a commit's name is put behind, such as https://git.example.org/us/ek/commit; else by Git's origin."""
ROOT = Path(__file__).parents[1]
HOSTED = re.compile(r"(?:https://|ssh://git@|git@)([\w.-]+)[:/]([\w./-]+?)(?:\.git)?/?")


def run_here() -> FlowRun | None:
    """Return the run that this is, as the server gave it when it began; None outside of one.

    `prefect.runtime` asks the server for what it says of a deployment, and fails the run where that is just restarting.
    """
    here = FlowRunContext.get()
    return None if here is None else here.flow_run


def deployment_of_run() -> UUID | None:
    """Return the deployment whose run this is, None in a run of none."""
    return None if (run := run_here()) is None else run.deployment_id


def run_link() -> tuple[str, str] | None:
    """Return name and address of the run of this process, None in one that no server keeps."""
    return (str(flow_run.name), url_for("flow-run", obj_id=flow_run.id) or "") if deployment_of_run() else None


def commit_link() -> tuple[str, str] | None:
    """Return name and address of the commit that runs, None where it is unknown; the address is "" where that is."""
    if not (name := os.environ.get("EVENKEEL_COMMIT", "")):
        return None
    base = os.environ.get(COMMITS_URL, "").rstrip("/") or commits_of(_origin())
    return name, f"{base}/{quote(name)}" if base else ""


def commits_of(origin: str) -> str:
    """Return where a host of repositories shows commits, from the address of one; "" where it is no such address."""
    found = HOSTED.fullmatch(origin)
    return f"https://{found[1]}/{found[2]}/commit" if found else ""


def _origin() -> str:
    if not (ROOT / ".git").exists():
        return ""
    command = ["git", "remote", "get-url", "origin"]
    try:
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()
    except FileNotFoundError:
        return ""


def address(recipe: Recipe, place: str) -> str:
    """Return the address of something in a dataset's folder."""
    base = os.environ.get(PAGES_URL, "").rstrip("/")
    folder = storage.join(absolute(recipe.destination.uri), recipe.dataset)
    inside = absolute(place).removeprefix(folder)
    if not base or inside == absolute(place):
        return storage.web_address(place)
    return f"{base}/{recipe.dataset}/{quote(inside.strip('/'))}"
