"""What the verbs of the command line share: their options, their errors in plain words, their JSON."""

import json
import sys
from collections.abc import Callable
from functools import wraps
from typing import Any

import click

from evenkeel.infra.errors import EvenkeelError

RECIPE = click.argument("recipe", metavar="RECIPE")
JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of words.")
SET = click.option("--set", "overrides", multiple=True, metavar="FIELD=VALUE", help="Override a field of the recipe.")


def reports_errors(command: Callable[..., Any]) -> Callable[..., Any]:
    """Print an EvenkeelError plainly (or as JSON) and leave with its exit code."""

    @wraps(command)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        try:
            return command(*args, **kwargs)
        except EvenkeelError as error:
            if kwargs.get("as_json"):
                print_json({"error": type(error).__name__, "message": str(error), "exit_code": error.exit_code})
            else:
                click.secho(f"{type(error).__name__}: ", fg="red", bold=True, err=True, nl=False)
                click.echo(str(error), err=True)
            sys.exit(error.exit_code)

    return wrapped


def print_json(value: Any) -> None:
    """Print `value` as JSON on standard output."""
    click.echo(json.dumps(value, indent=2, default=str, ensure_ascii=False))


def verb(*parameters: Callable[..., Any]) -> Callable[[Callable[..., Any]], click.Command]:
    """Make a function the verb of its name: RECIPE, `parameters`, --set and --json; its errors are reported."""

    def made(function: Callable[..., Any]) -> click.Command:
        command = reports_errors(function)
        for parameter in reversed((RECIPE, *parameters, SET, JSON)):
            command = parameter(command)
        return click.command()(command)

    return made
