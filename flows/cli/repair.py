"""The verb that rebuilds a catalog from a folder."""

import click

from evenkeel.flows import repair as operations
from evenkeel.flows.answer import Answer
from evenkeel.flows.cli.verb import verb
from evenkeel.tasks.versions.repair import Repair

DESTINATION = click.argument("destination")
DATASET = click.argument("dataset", required=False)
CATALOG = click.option("--catalog", metavar="URI", help="The catalog, where the recipe names one.")
WITHOUT = click.option(
    "--without", multiple=True, type=int, metavar="N", help="Give up version N, whose files are lost."
)
TABLE = click.option("--table", metavar="UUID", help="Go on with this one of two tables.")
YES = click.option("--yes", is_flag=True, help="Do it; without this only say what would be done.")


@verb(DESTINATION, DATASET, CATALOG, WITHOUT, TABLE, YES, recipe=False)
def repair(
    destination: str,
    dataset: str | None,
    catalog: str | None,
    without: tuple[int, ...],
    table: str | None,
    yes: bool,
) -> Answer[list[Repair]]:
    """Rebuild a lost catalog from the folders of DESTINATION, or adopt copied ones.

    Versions keep their numbers, tags, times and checksums. Without DATASET all datasets of DESTINATION are looked at.
    """
    answer = operations.repair(destination, dataset, catalog, without, table, dry_run=not yes)
    idle = yes or all(one.action == "none" for one in answer.result)
    return answer if idle else answer._replace(sentence=f"{answer.sentence}\n--yes does it")
