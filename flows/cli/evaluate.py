"""The verb that says what a version teaches."""

from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from evenkeel.flows import evaluate as operations
from evenkeel.flows.answer import Answer
from evenkeel.flows.cli.verb import verb
from evenkeel.flows.recipe import Recipe
from evenkeel.tasks.versions.evaluate import Evaluation, draw_evaluation

VERSION = click.argument("version", default="latest")
LABEL = click.option("--label", default="", metavar="GROUP", help="The group column to tell; else the recipe's first.")
OUT = click.option("--out", default="evaluation.svg", show_default=True, metavar="FILE", help="Where it is drawn.")


def show_evaluation(console: Console, found: Evaluation) -> None:
    """Print rows of the pool and in training, and recall in percent, one line per class or band of classes."""
    table = Table(box=None, pad_edge=False)
    table.add_column(found.label)
    for name in ("pool", "random draw", "version", "recall: random", "version", "gain"):
        table.add_column(name, justify="right")
    for band in found.bands:
        gain = 100 * (band.recall_version - band.recall_random)
        table.add_row(
            band.name,
            f"{band.pool:,}",
            f"{band.random:,.1f}",
            f"{band.version:,.1f}",
            f"{band.recall_random:.1%}",
            f"[bold]{band.recall_version:.1%}[/]",
            f"{gain:+.1f}",
        )
    console.print(table)


@verb(VERSION, LABEL, OUT, show=show_evaluation)
def evaluate(recipe: Recipe, version: str, label: str, out: str) -> Answer[Evaluation]:
    """Say what a version teaches a small model, beside random draws of its size.

    A linear model is trained on the version's rows and on random draws, and tested on rows that neither had, class by
    class. Needs the step outputs of the version in the workspace; publishes nothing.
    """
    found = operations.evaluate(recipe, label, version)
    draw_evaluation(found.result, Path(out))
    return Answer(found.result, f"{found.sentence}; drawn in {out}")
