"""The verbs that compare sets of rows and value sources towards the target."""

import click
from rich.console import Console
from rich.table import Table

from evenkeel.flows import compare as operations
from evenkeel.flows.answer import Answer
from evenkeel.flows.cli.verb import verb
from evenkeel.flows.recipe import Recipe
from evenkeel.tasks.versions.compare import Comparison
from evenkeel.tasks.versions.value import Valuation

A, B = click.argument("a", metavar="A"), click.argument("b", metavar="B")
OVER = click.option(
    "--over", multiple=True, metavar="WHAT", help="group.COLUMN: each value is a source; source: each shard is one."
)
FILES = click.option("--file", "files", multiple=True, metavar="FILES", help="Files not in the pool, as one source.")
HELD = click.option("--held", default="latest", show_default=True, metavar="VERSION", help="What one has; or nothing.")
ROWS = click.option("--rows", type=click.IntRange(min=1), metavar="N", help="Rows of a source to add at most.")
MOST_SHOWN = 30


def show_comparison(console: Console, found: Comparison) -> None:
    """Print one line per distance."""
    table = Table(box=None, pad_edge=False)
    table.add_column("distance")
    of_pool = any(one.pool is not None for one in found.distances)
    for name in ("value", "sampling noise", "times", *(["the pool's"] if of_pool else [])):
        table.add_column(name, justify="right")
    for one in found.distances:
        times = "" if one.times is None else f"{one.times:,.1f}"
        numbers = [_number(one.distance), _number(one.noise), f"[bold]{times}[/]" if one.apart else times]
        table.add_row(one.by, *numbers, *([_number(one.pool)] if of_pool else []))
    console.print(table)


def show_valuation(console: Console, found: Valuation) -> None:
    """Print one line per source, the most worth first."""
    table = Table(box=None, pad_edge=False)
    table.add_column("source")
    for name in ("rows", "distance", "to add", "then", "nearer by", "new", "clusters"):
        table.add_column(name, justify="right")
    for one in found.sources[:MOST_SHOWN]:
        table.add_row(
            one.name,
            f"{one.rows:,}",
            _number(one.distance),
            f"{one.added:,}",
            _number(one.with_them),
            f"[bold]{one.worth:.1%}[/]",
            f"{one.new:.0%}",
            f"{one.clusters:,.0f}",
        )
    console.print(table)
    if len(found.sources) > MOST_SHOWN:
        console.print(f"and {len(found.sources) - MOST_SHOWN:,} more, with --json", highlight=False)


@verb(A, B, show=show_comparison)
def compare(recipe: Recipe, a: str, b: str) -> Answer[Comparison]:
    """Say how far two sets of rows are apart, beside what sampling noise comes to.

    A and B: a version (v3, latest, a tag, DATASET@v3), pool, target, group.COLUMN=VALUE, source=SHARDS or file=FILES.
    mmd and frechet compare vectors, transport and kl histograms of clusters.
    """
    return operations.compare(recipe, a, b)


@verb(OVER, FILES, HELD, ROWS, show=show_valuation)
def value(
    recipe: Recipe, over: tuple[str, ...], files: tuple[str, ...], held: str, rows: int | None
) -> Answer[Valuation]:
    """Say which sources would bring a version nearest to the target.

    distance: of the source alone; then: of the version with the rows to add; new: the share of the source that the
    version has nothing like; clusters: how many it spreads over, as many equal ones.
    """
    return operations.value(recipe, over, files, held, rows)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"
