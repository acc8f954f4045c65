"""The verb that lists what was refused."""

import click
from rich.console import Console

from evenkeel.flows import quarantine as operations
from evenkeel.flows.answer import Answer
from evenkeel.flows.cli.verb import verb
from evenkeel.tasks.ingest.quarantine import SAMPLES, Quarantine

PLACE = click.argument("place", metavar="RECIPE|DESTINATION")
VERSION = click.option("--version", default=None, metavar="VERSION", help="A version instead of the last run.")
MANY = click.option(
    "--samples", type=click.IntRange(0), default=SAMPLES, show_default=True, help="Rows to show of each reason."
)


def _show(console: Console, found: Quarantine) -> None:
    def line(text: str) -> None:
        console.print(text, highlight=False, markup=False, soft_wrap=True)

    for shard in found.shards:
        line(f"shard {shard.uri}: {shard.reason}")
    if found.refused_shards > len(found.shards):
        line(f"and {found.refused_shards - len(found.shards):,} more shards")
    for reason in found.rows:
        line(f"{reason.rows:,} rows: {reason.reason}")
        for sample in reason.samples:
            about = "".join(f": {part}" for part in (sample.id, sample.detail) if part)
            line(f"  row {sample.row:,} of {sample.uri}{about}")


@verb(PLACE, VERSION, MANY, recipe=False, show=_show)
def quarantine(place: str, version: str | None, samples: int) -> Answer[Quarantine]:
    """List the shards and rows that were refused, with reasons and samples.

    Of the last run of RECIPE, failed or not, or of a version. DESTINATION is the folder of a dataset:
    DESTINATION/DATASET.
    """
    return operations.quarantine(place, version, samples)
