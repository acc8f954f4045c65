"""How a verb of the command line is declared: its parameters, how its answer is shown, its errors in plain words."""

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, is_dataclass
from functools import wraps
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem
from pydantic import BaseModel
from rich.console import Console

from evenkeel.flows.answer import Answer
from evenkeel.infra.errors import EvenkeelError


def recipes(_ctx: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Return what a shell offers for RECIPE: ready recipes that begin so, and files."""
    ready = sorted(path.stem for path in (Path(__file__).parents[1] / "recipes").glob("*.yaml"))
    return [
        *map(CompletionItem, (name for name in ready if name.startswith(incomplete))),
        CompletionItem(incomplete, "file"),
    ]


RECIPE = click.argument("recipe", metavar="RECIPE", shell_complete=recipes)
SET = click.option("--set", "overrides", multiple=True, metavar="FIELD=VALUE", help="Override a field of the recipe.")
JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of words.")

Parameter = Callable[[Callable[..., None]], Callable[..., None]]


def verb(
    *parameters: Parameter,
    recipe: bool = True,
    show: Callable[[Console, Any], None] | None = None,
    before: Callable[[dict[str, Any]], None] | None = None,
) -> Callable[[Callable[..., Answer[object]]], click.Command]:
    """Make a function the verb of its name; its docstring is the help.

    The function is called with the recipe, read from RECIPE and --set, and with a value for each of `parameters`. Its
    answer is printed as JSON with --json, else as its sentence, followed by what `show` prints of the result. The exit
    code is 1 where the answer is not ok, and that of the error where the function raises an EvenkeelError.

    recipe: False for a verb that needs none. before: called with the values before the recipe is read, and what reads
    it is imported; it may add some.
    """

    def made(function: Callable[..., Answer[object]]) -> click.Command:
        @wraps(function)
        def call(as_json: bool, **values: Any) -> None:
            with reported(as_json):
                if before is not None:
                    before(values)
                if recipe:
                    from evenkeel.flows.recipe import load  # takes half a second

                    values["recipe"] = load(values["recipe"], values.pop("overrides"))
                answer = function(**values)
                if as_json:
                    print_json(answer.result)
                else:
                    click.echo(answer.sentence)
                    if show is not None:
                        show(Console(), answer.result)
            if not answer.ok:
                sys.exit(1)

        command: Callable[..., None] = call
        stack: tuple[Parameter, ...] = (RECIPE, *parameters, SET, JSON) if recipe else (*parameters, JSON)
        for parameter in reversed(stack):
            command = parameter(command)
        return click.command(function.__name__)(command)

    return made


@contextmanager
def reported(as_json: bool) -> Iterator[None]:
    """Print an EvenkeelError plainly (or as JSON) and leave with its exit code; any other error in one line, with 1."""
    try:
        yield
    except EvenkeelError as error:
        if as_json:
            print_json({"error": type(error).__name__, "message": str(error), "exit_code": error.exit_code})
        else:
            click.secho(f"{type(error).__name__}: ", fg="red", bold=True, err=True, nl=False)
            click.echo(str(error), err=True)
        sys.exit(error.exit_code)
    except click.ClickException:
        raise
    except Exception as error:
        if "EVENKEEL_DEBUG" in os.environ:
            raise
        what = " ".join(f"{type(error).__name__}: {error}".split())[:500]
        if as_json:
            print_json({"error": type(error).__name__, "message": what, "exit_code": 1})
        else:
            click.secho("unforeseen error: ", fg="red", bold=True, err=True, nl=False)
            click.echo(f"{what}\n  remedy: `evenkeel --debug ...` shows where; please report it", err=True)
        sys.exit(1)


def print_json(value: object) -> None:
    """Print `value`, in which may be models and dataclasses, as JSON on standard output."""
    click.echo(json.dumps(value, indent=2, default=_plain, ensure_ascii=False))


def _plain(value: object) -> object:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    return asdict(value) if is_dataclass(value) and not isinstance(value, type) else str(value)
