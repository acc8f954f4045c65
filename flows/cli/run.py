"""The verb that curates in this very process."""

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console

from evenkeel.flows.answer import Answer
from evenkeel.flows.cli import terminal
from evenkeel.flows.cli.verb import verb
from evenkeel.flows.own_server import start_own_server
from evenkeel.infra.imports import without_collector
from evenkeel.infra.watchdog import end_children_with_this_process

if TYPE_CHECKING:
    from evenkeel.flows.recipe import Recipe

FORCE = click.option("--force", is_flag=True, help="Publish even where nothing has changed.")
VERBOSE = click.option("--verbose", is_flag=True, help="Show Prefect's own log.")
QUIET = {"PREFECT_LOGGING_LEVEL": "CRITICAL", "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore"}
LATER = ("fastapi.encoders", "dask.utils", "scipy.stats", "altair", "sklearn.manifold")
"""What the steps of a run import when they come to need it, of what takes long to import.

Each takes less than a second, since the import goes on when the server answers meanwhile. Great Expectations takes two
more, so it is left to the step that checks.
"""


def start_server(verbose: bool) -> Callable[[], None]:
    """Start a Prefect server of our own, with Prefect's own log or without it; return what waits until it answers.

    Called before anything large is imported, so that the server starts meanwhile.
    """
    if not verbose:
        for name, value in QUIET.items():
            os.environ.setdefault(name, value)
    end_children_with_this_process(mark=True)
    return start_own_server(quiet=not verbose, meanwhile=LATER)


def begin(values: dict[str, Any]) -> None:
    """Start the server before the recipe is read, and add `ready` to the values of the verb."""
    values["ready"] = start_server(values["verbose"])


@contextmanager
def steps_shown(verbose: bool) -> Iterator[None]:
    """Show the steps of a flow that runs in this process, and what Dask logs only where it is asked for."""
    if not verbose:
        logging.getLogger("distributed").setLevel(logging.CRITICAL)
    with terminal.step_bars(Console(stderr=True)):
        yield


@verb(FORCE, VERBOSE, show=terminal.show_result, before=begin)
def run(recipe: "Recipe", force: bool, verbose: bool, ready: Callable[[], None]) -> Answer[dict[str, Any]]:
    """Curate RECIPE here and now, and publish the version."""
    Console(stderr=True).print(f"[bold]evenkeel[/] {recipe.dataset} <- {recipe.source.uri}")
    with without_collector():
        from evenkeel.flows.curate_here import curate_here  # takes seconds, in which the server starts

    ready()
    with steps_shown(verbose):
        result = curate_here(recipe, force)
    version = f"v{result['version']}"
    if result["held"] is not None or result["status"] == "reinstated":
        return Answer(result, result["outcome"])
    if result["status"] == "unchanged":
        return Answer(result, f"{recipe.dataset} is unchanged: the same rows as {version} (--force publishes anyway)")
    return Answer(result, f"{recipe.dataset} {version} is published with {result['totals']['kept']:,} rows")
