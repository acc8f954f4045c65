"""The verb that says what became of a row."""

import click
from rich.console import Console

from evenkeel.flows import why as operations
from evenkeel.flows.answer import Answer
from evenkeel.flows.cli.verb import verb
from evenkeel.tasks.versions.why import RowDisposition

PLACE = click.argument("place", metavar="RECIPE|DESTINATION")
ID = click.argument("row", metavar="ID")
VERSION = click.option("--version", default="latest", metavar="VERSION", help="The newest version to look at.")


def _show(console: Console, found: list[RowDisposition]) -> None:
    for one in found:
        console.print(one.sentence, highlight=False, markup=False, soft_wrap=True)


@verb(PLACE, ID, VERSION, recipe=False, show=_show)
def why(place: str, row: str, version: str) -> Answer[list[RowDisposition]]:
    """Say what became of the row ID, and why, in this and earlier versions.

    RECIPE|DESTINATION is a recipe, or the folder of a dataset: DESTINATION/DATASET.
    """
    return operations.why(place, row, version)
