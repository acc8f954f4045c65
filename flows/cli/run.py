"""The verb that curates in this very process."""

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import click
from rich.console import Console

from evenkeel.flows.answer import Answer
from evenkeel.flows.cli import terminal
from evenkeel.flows.cli.verb import verb
from evenkeel.flows.recipe import Recipe
from evenkeel.infra.watchdog import end_children_with_this_process

FORCE = click.option("--force", is_flag=True, help="Publish even where nothing has changed.")
VERBOSE = click.option("--verbose", is_flag=True, help="Show Prefect's own log.")
QUIET = {"PREFECT_LOGGING_LEVEL": "CRITICAL", "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore"}


@contextmanager
def quietly(verbose: bool) -> Iterator[Callable[[], None]]:
    """Run a flow in this process, with Prefect's own log or without it, and show its steps.

    Yields what waits for a Prefect server: import the flow, call it, then the flow.
    """
    if not verbose:
        for name, value in QUIET.items():
            os.environ.setdefault(name, value)
    end_children_with_this_process(mark=True)
    from evenkeel.flows.own_server import start_own_server  # Prefect reads the environment when it is imported

    ready = start_own_server()
    if not verbose:
        logging.getLogger("distributed").setLevel(logging.CRITICAL)
    with terminal.step_bars(Console(stderr=True)):
        yield ready


@verb(FORCE, VERBOSE, show=terminal.show_result)
def run(recipe: Recipe, force: bool, verbose: bool) -> Answer[dict[str, Any]]:
    """Curate RECIPE here and now, and publish the version."""
    Console(stderr=True).print(f"[bold]evenkeel[/] {recipe.dataset} <- {recipe.source.uri}")
    with quietly(verbose) as ready:
        from evenkeel.flows.curate import curate  # takes seconds, in which the server starts

        ready()
        result = curate(recipe, force)
    version = f"v{result['version']}"
    if result["held"] is not None or result["status"] == "reinstated":
        return Answer(result, result["outcome"])
    if result["status"] == "unchanged":
        return Answer(result, f"{recipe.dataset} is unchanged: the same rows as {version} (--force publishes anyway)")
    return Answer(result, f"{recipe.dataset} {version} is published with {result['totals']['kept']:,} rows")
