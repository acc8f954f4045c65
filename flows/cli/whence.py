"""The verb that says where a row came from."""

import click
from rich.console import Console

from evenkeel.flows import whence as operations
from evenkeel.flows.answer import Answer
from evenkeel.flows.cli.verb import verb
from evenkeel.tasks.versions.whence import Whence

PLACE = click.argument("place", metavar="RECIPE|DESTINATION")
ID = click.argument("row", metavar="ID")
VERSION = click.option("--version", default=None, metavar="VERSION", help="The version that is asked about.")


def _show(console: Console, found: Whence) -> None:
    for line in found.sentences:
        console.print(line, highlight=False, markup=False, soft_wrap=True)


@verb(PLACE, ID, VERSION, recipe=False, show=_show)
def whence(place: str, row: str, version: str | None) -> Answer[Whence]:
    """Say where the row ID came from, by which recipe, and which versions hold it.

    RECIPE|DESTINATION is a recipe, or the folder of a dataset: DESTINATION/DATASET.
    """
    return operations.whence(place, row, version)
